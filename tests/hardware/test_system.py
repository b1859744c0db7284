"""A system in tiers: where two devices meet, and which tiers a group crosses."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Link, System, Tier
from moesaic.hardware.load import device, system

GPU = device("h100-sxm")


def tiered(*sizes):
    tiers = tuple(
        Tier(
            name=f"t{i}",
            size=size,
            link=Link(
                name=f"l{i}", technology="x", bandwidth_bytes_per_s=10.0**-i, latency_s=i + 1.0
            ),
        )
        for i, size in enumerate(sizes)
    )
    count = 1
    for size in sizes:
        count *= size
    return System(name="s", devices=(GPU,) * count, tiers=tiers)


def test_two_devices_meet_in_the_innermost_tier_that_holds_both():
    nodes = system("two-node-h100")
    assert nodes.bandwidth(0, 7) == 450e9
    assert nodes.bandwidth(0, 8) == 50e9
    assert nodes.latency(7, 8) == pytest.approx(1.3e-6)
    assert nodes.bandwidth(3, 3) == GPU.memory.bandwidth_bytes_per_s
    assert nodes.latency(3, 3) == 0.0


def test_a_group_crosses_the_tiers_it_is_spread_over():
    nodes = system("two-node-h100")

    def crossed(ranks):
        return [(tier.name, width) for tier, width in nodes.spans(ranks)]

    assert crossed(range(16)) == [("node", 8), ("cluster", 2)]
    assert crossed([0, 1]) == [("node", 2)]
    assert crossed([0, 8]) == [("cluster", 2)]
    assert crossed([0, 1, 8]) == [("node", 2), ("cluster", 2)]
    assert crossed([5]) == []
    assert crossed([]) == []


def test_a_device_that_is_not_there_is_refused():
    nodes = system("two-node-h100")
    for ask in (
        lambda: nodes.spans([16]),
        lambda: nodes.bandwidth(0, -1),
        lambda: nodes.tier(99, 0),
    ):
        with pytest.raises(BadInput, match="has the devices 0 to 15"):
            ask()


def test_tiers_that_do_not_multiply_are_refused():
    with pytest.raises(ValueError, match="join 8 devices"):
        System(name="s", devices=(GPU,) * 7, tiers=tiered(2, 4).tiers)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_the_meeting_tier_follows_from_the_digits_of_the_ranks(sizes, data):
    """Written in the mixed base of the sizes, two ranks meet at their highest unequal digit."""
    whole = tiered(*sizes)
    rank = st.integers(0, len(whole.devices) - 1)
    a, b = data.draw(rank), data.draw(rank)
    digits = []
    x, y = a, b
    for size in sizes:
        digits.append((x % size, y % size))
        x, y = x // size, y // size
    unequal = [i for i, (p, q) in enumerate(digits) if p != q]
    if unequal:
        assert whole.tier(a, b).name == f"t{unequal[-1]}"
        assert whole.bandwidth(a, b) == whole.bandwidth(b, a)
        assert [tier.name for tier, _ in whole.spans([a, b])] == [f"t{unequal[-1]}"]
    else:
        assert a == b


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_all_devices_together_span_every_tier_of_more_than_one(sizes):
    whole = tiered(*sizes)
    spans = whole.spans(range(len(whole.devices)))
    assert [width for _, width in spans] == [size for size in sizes if size > 1]


def test_the_peak_of_a_missing_format_is_the_next_wider_one():
    assert GPU.peak("mxfp4") == GPU.peak_flops_per_s["bf16"]
    assert device("a100-80gb-sxm").peak("fp8") == 312e12
    assert device("zcu102").peak("bf16") == device("zcu102").peak_flops_per_s["int16"]
    bare = msgspec.structs.replace(device("bank-pim"), peak_flops_per_s={"fp4": 1.0})
    with pytest.raises(BadInput, match="no peak for int16"):
        bare.peak("int16")
