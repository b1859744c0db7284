"""Requests: text, gzip and Parquet; every malformed line by its number."""

import gzip
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.memory import requests as module
from moesaic.simulator.memory.requests import Requests, read_requests, write_requests

GRAMMAR = re.compile(r"[ \t]*(\d{1,16})[ \t]+([RrWw])[ \t]+(?:0x|0X)?([0-9a-fA-F]{1,16})[ \t]*\r?")


def some(count, seed=0):
    draw = np.random.default_rng(seed)
    return Requests.of(
        draw.integers(0, 1 << 34, count, dtype=np.uint64),
        draw.random(count) < 0.3,
        np.cumsum(draw.integers(0, 4, count)),
    )


def same(left, right):
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("arrival_cycles", "write", "address")
    )


@pytest.mark.parametrize("suffix", [".trace", ".trace.gz", ".parquet"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    requests = some(70_000)
    write_requests(tmp_path / f"a{suffix}", requests)
    assert same(read_requests(tmp_path / f"a{suffix}"), requests)


def test_the_same_requests_are_the_same_packed_bytes(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_requests(tmp_path / name, some(100))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_line_is_a_cycle_a_letter_and_a_hexadecimal_address(tmp_path):
    file = tmp_path / "a.trace"
    file.write_text("0 R 6e00000\n2 W 1A\r\n2\tr 0xff \n  7  R  ffffffffffffffff")
    requests = read_requests(file)
    assert requests.arrival_cycles.tolist() == [0, 2, 2, 7]
    assert requests.write.tolist() == [False, True, False, False]
    assert requests.address.tolist() == [0x6E00000, 0x1A, 0xFF, 2**64 - 1]


LINES = st.one_of(
    st.builds(
        "{} {} {:x}".format, st.integers(0, 999), st.sampled_from("RW"), st.integers(0, 9999)
    ),
    st.text("0123 RWrwxafg\t-", max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=5))
def test_the_fast_reader_takes_what_the_grammar_takes(tmp_path_factory, lines):
    file = tmp_path_factory.mktemp("lines") / "a.trace"
    file.write_text("".join(f"{line}\n" for line in lines))
    found = [GRAMMAR.fullmatch(line) for line in lines]
    bad = [i for i, match in enumerate(found, 1) if match is None]
    if bad:
        with pytest.raises(BadInput, match=rf"line {bad[0]}: must read"):
            read_requests(file)
        return
    cycles = [int(match[1]) for match in found if match]
    if cycles != sorted(cycles):
        with pytest.raises(BadInput, match="back in time"):
            read_requests(file)
        return
    requests = read_requests(file)
    assert requests.arrival_cycles.tolist() == cycles
    assert requests.write.tolist() == [match[2] in "Ww" for match in found if match]
    assert requests.address.tolist() == [int(match[3], 16) for match in found if match]


def test_a_fault_far_into_the_file_has_its_line(tmp_path):
    file = tmp_path / "a.trace.gz"
    lines = [f"{i} R {i:x}" for i in range(200_000)]
    lines[150_000] = "150000 X 20"
    file.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    with pytest.raises(BadInput, match=r"line 150001: .*'150000 X 20'"):
        read_requests(file)
    lines[150_000] = "149998 R 20"
    file.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    with pytest.raises(
        BadInput, match=r"line 150001: goes back in time, to cycle 149998 after 149999"
    ):
        read_requests(file)


def test_time_is_held_to_its_order_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 6)
    file = tmp_path / "a.trace"
    file.write_text("5 R 0\n6 R 0\n4 R 0\n")
    with pytest.raises(BadInput, match=r"line 3: .*to cycle 4 after 6"):
        read_requests(file)


def test_requests_refuse_time_that_goes_backwards():
    with pytest.raises(BadInput, match=r"request 2: .*from cycle 7 to 6"):
        Requests.of([0, 32, 64], arrival_cycles=[5, 7, 6])


@pytest.mark.parametrize("cycle", [-1, 10**16])
def test_requests_refuse_cycles_that_the_core_cannot_count(cycle):
    with pytest.raises(BadInput, match="must lie in"):
        Requests.of([0], arrival_cycles=cycle)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "holds no request"),
        (b"\n", "line 1: must read"),
        (b"0 R 0\n\n1 R 0\n", "line 2: must read"),
        (b"0 R 0" * 4000, "line 1: has more than"),
        (b"0 R 10000000000000000\n", "line 1: must read"),
        (b"10000000000000000 R 0\n", "line 1: must read"),
        (b"0 R \xff\n", "line 1: must read"),
        (gzip.compress(b"0 R 0\n", mtime=0)[:-4], "cannot be read"),
        (gzip.compress(b"0 R 0\n", mtime=0) + b"more", "cannot be read"),
    ],
)
def test_bad_text_is_refused(tmp_path, content, fault):
    file = tmp_path / "a.trace"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=fault):
        read_requests(file)


def test_a_bomb_is_left_before_it_unfolds(tmp_path, monkeypatch):
    file = tmp_path / "a.trace.gz"
    file.write_bytes(gzip.compress(b"0 R 0\n" * 400_000))
    monkeypatch.setattr(module, "MOST_TEXT_BYTES", 2**20)
    with pytest.raises(BadInput, match="unpacks to more than"):
        read_requests(file)
    monkeypatch.undo()
    monkeypatch.setattr(module, "MOST_REQUESTS", 1000)
    with pytest.raises(BadInput, match="more than 1000 requests"):
        read_requests(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no such file"):
        read_requests(tmp_path / "none.trace")
    with pytest.raises(BadInput, match="is a folder"):
        read_requests(tmp_path)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"arrival_cycle": [0], "write": [True]}, "address: lacks the column"),
        ({"arrival_cycle": [0], "write": [1], "address": [0]}, "write: must hold bool"),
        ({"arrival_cycle": [2, 1], "write": [True] * 2, "address": [0, 0]}, "goes backwards"),
        ({"arrival_cycle": [0], "write": [True], "address": [-1]}, "must not be negative"),
    ],
)
def test_bad_parquet_is_refused(tmp_path, columns, fault):
    from moesaic.base import parquet

    parquet.write(tmp_path / "a.parquet", columns, {})
    with pytest.raises(BadInput, match=fault):
        read_requests(tmp_path / "a.parquet")


def test_a_parquet_without_rows_is_refused_as_empty_text_is(tmp_path):
    none = np.zeros(0, np.int64)
    for name in ("a.parquet", "a.trace"):
        write_requests(
            tmp_path / name, Requests(none, none.astype(np.bool_), none.astype(np.uint64))
        )
        with pytest.raises(BadInput, match="holds no request"):
            read_requests(tmp_path / name)
