"""Address maps: pieces of bits, hashes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.memory.address_map import AddressMap, Coordinates, Sizes

HBM3 = Sizes(channels=16, ranks=2, bank_groups=4, banks=4, rows=16384, columns=32, access_bytes=32)
SMALL = Sizes(channels=2, ranks=2, bank_groups=2, banks=4, rows=16, columns=8, access_bytes=16)


@st.composite
def maps(draw, sizes=SMALL):
    """Maps whose pieces stand in any order, cut anywhere, some of them hashed with the row."""
    single = [name for name, bits in sizes.bits.items() if name != "off" for _ in range(bits)]
    words = [f"off:{sizes.bits['off']}"]
    low = dict.fromkeys(sizes.bits, 0)
    for name in draw(st.permutations(single)):
        reach = sizes.bits["ro"] - low[name] - 1
        hashed = name != "ro" and reach >= 0 and draw(st.booleans())
        words.append(f"{name}:1" + (f"^ro+{draw(st.integers(0, reach))}" if hashed else ""))
        low[name] += 1
    return AddressMap.parse(" ".join(words), sizes)


@settings(max_examples=60, deadline=None)
@given(maps())
def test_every_map_is_a_bijection_over_its_capacity(address_map):
    addresses = np.arange(0, address_map.capacity_bytes, SMALL.access_bytes, dtype=np.uint64)
    where = address_map.decode(addresses)
    assert np.array_equal(address_map.encode(where), addresses)
    assert np.unique(np.stack(where), axis=1).shape[1] == addresses.size
    assert [part.max() + 1 for part in where] == [2, 16, 16, 8]


@given(st.integers(0, HBM3.capacity_bytes - 1))
def test_fields_are_the_bits_that_the_text_names(address):
    address_map = AddressMap.parse("off:5 pc:1 ch:4 bg:1 co:2 bg:1 co:3 ba:2^ro ro:14", HBM3)
    bits = [address >> at & 1 for at in range(33)]

    def number(*places):
        return sum(bits[place] << i for i, place in enumerate(places))

    row = number(*range(19, 33))
    assert address_map.fields(address) == {
        "off": number(*range(5)),
        "pc": bits[5],
        "ch": number(6, 7, 8, 9),
        "sid": 0,
        "bg": number(10, 13),
        "ba": number(17, 18) ^ (row & 3),
        "co": number(11, 12, 14, 15, 16),
        "ro": row,
    }


def test_a_flat_bank_counts_banks_within_groups_within_pseudo_channels():
    address_map = AddressMap.parse("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:14", HBM3)
    where = address_map.decode([1 << 5, 1 << 6, 1 << 10, 1 << 12, 1 << 17, 1 << 19])
    assert where.bank.tolist() == [16, 0, 4, 0, 1, 0]
    assert where.channel.tolist() == [0, 1, 0, 0, 0, 0]
    assert where.column.tolist() == [0, 0, 0, 1, 0, 0]
    assert where.row.tolist() == [0, 0, 0, 0, 0, 1]


def test_a_hash_spreads_rows_of_one_bank_over_all_banks():
    plain = AddressMap.parse("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:14", HBM3)
    hashed = AddressMap.parse("off:5 pc:1 ch:4 bg:2^ro+2 co:5 ba:2^ro ro:14", HBM3)
    rows = np.arange(16, dtype=np.uint64) << np.uint64(19)
    assert np.unique(plain.decode(rows).bank).size == 1
    assert np.unique(hashed.decode(rows).bank).size == 16


def test_several_sources_may_be_joined():
    address_map = AddressMap.parse("off:5 pc:1 ch:4^ro^ro+4 bg:2 co:5 ba:2 ro:14", HBM3)
    address = 0b11_0000_0101 << 19
    assert address_map.fields(address)["ch"] == 0b0101 ^ 0b0000
    address = 0b11_1001_0101 << 19
    assert address_map.fields(address)["ch"] == 0b0101 ^ 0b1001


def test_rank_is_another_word_for_pseudo_channel():
    words = "off:5 {}:1 ch:4 bg:2 co:5 ba:2 ro:14"
    maps = [AddressMap.parse(words.format(name), HBM3) for name in ("ra", "pc")]
    assert maps[0].pieces == maps[1].pieces


def test_blocks_join_without_a_seam():
    address_map = AddressMap.parse("off:5 pc:1 ch:4 bg:2 co:5 ba:2^ro ro:14", HBM3)
    addresses = np.random.default_rng(0).integers(
        0, HBM3.capacity_bytes, 100_001, dtype=np.uint64
    ) & ~np.uint64(31)
    assert np.array_equal(address_map.encode(address_map.decode(addresses)), addresses)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:13", "misses bits of ro .*holds 13.*has 14"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:14 ba:2", "repeats bits of ba"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2 rw:14", "unknown field rw"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro", "pieces such as"),
        ("off:5 pc:1 ch:4 bg:2 co:-5 ba:2 ro:14", "pieces such as"),
        ("", "misses bits of off"),
        ("pc:1 off:5 ch:4 bg:2 co:5 ba:2 ro:14", "begin with off"),
        ("off:2 off:3 pc:1 ch:4 bg:2 co:5 ba:2 ro:14", "begin with off"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2^bg ro:14", None),
        ("off:5 pc:1 ch:4 bg:2^ro co:5 ba:2^bg ro:14", "hashes ba with bg, which is hashed"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2^ro ro:14^ba", "is hashed itself"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2^off ro:14", "the offset"),
        ("off:5 pc:1 ch:4 bg:2 co:5 ba:2^ro+13 ro:14", "that ro does not have"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(text, fault):
    if fault is None:
        AddressMap.parse(text, HBM3)
        return
    with pytest.raises(BadInput, match=fault):
        AddressMap.parse(text, HBM3)


def test_an_address_beyond_the_capacity_names_the_first():
    address_map = AddressMap.parse("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:14", HBM3)
    beyond = HBM3.capacity_bytes
    with pytest.raises(BadInput, match=rf"request 2 of 4.*{beyond + 32:#x}"):
        address_map.decode(np.array([0, 32, beyond + 32, beyond], np.uint64))


def test_sizes_are_powers_of_two():
    with pytest.raises(ValueError, match="power of two"):
        Sizes(banks=3, rows=16, columns=8, access_bytes=32)


def test_coordinates_are_small_integers():
    where = AddressMap.parse("off:5 pc:1 ch:4 bg:2 co:5 ba:2 ro:14", HBM3).decode([0])
    assert isinstance(where, Coordinates)
    assert {part.dtype for part in where} == {np.dtype(np.int32)}
