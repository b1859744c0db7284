"""The DRAM engine itself: arguments it refuses, and runs for the sanitizers."""

from typing import Any

import numpy as np
import pytest

from moesaic._core import DramPolicy, DramSpec, dram_run, dram_run_stream

RULES = [  # level, before, after, ticks, window, others
    (1, 0, 0, 4, 1, 0), (1, 0, 0, 15, 4, 0), (4, 0, 3, 14, 1, 0), (4, 0, 4, 12, 1, 0),
    (4, 0, 1, 34, 1, 0), (4, 1, 0, 14, 1, 0), (1, 3, 3, 2, 1, 0), (1, 4, 4, 2, 1, 0),
    (3, 3, 3, 4, 1, 0), (2, 3, 3, 3, 1, 1), (1, 3, 4, 13, 1, 0), (1, 4, 3, 13, 1, 0),
    (4, 3, 1, 5, 1, 0), (4, 4, 1, 23, 1, 0), (1, 0, 2, 34, 1, 0), (1, 2, 7, 14, 1, 0),
    (1, 1, 7, 14, 1, 0), (1, 7, 0, 260, 1, 0), (4, 8, 0, 160, 1, 0), (4, 1, 8, 14, 1, 0),
    (4, 5, 0, 19, 1, 0), (4, 6, 0, 37, 1, 0), (1, 5, 7, 19, 1, 0), (1, 6, 7, 37, 1, 0),
]  # fmt: skip


def spec(**changed):
    given: dict[str, Any] = {
        "sizes": [2, 2, 4, 4], "ticks_per_cycle": 1, "shared_bus": False, "rising": [True] * 12,
        "rules": np.array(RULES, np.int32), "read_ticks": 16, "write_ticks": 7,
        "refresh_ticks": 3900, "refresh_bank_ticks": 60, "refresh_together": 1,
    }  # fmt: skip
    return DramSpec(**(given | changed))


def policy(**changed):
    given: dict[str, Any] = {
        "scheduler": 0, "row_policy": 0, "refresh": 0, "queue_per_rank": True,
        "capacity": [32, 32], "drain_from": 26, "drain_to": 6, "most_hits": 0, "timeout_ticks": 0,
    }  # fmt: skip
    return DramPolicy(**(given | changed))


def requests(count, seed, channels=2):
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.integers(0, 8, count))
    whole = [rng.integers(0, n, count).astype(np.int32) for n in (channels, 64, 5, 32)]
    return arrival.astype(np.int64), rng.random(count) < 0.3, *whole


@pytest.mark.parametrize("scheduler", [0, 1, 2])
@pytest.mark.parametrize("row_policy", [0, 1, 2])
@pytest.mark.parametrize("refresh", [0, 1, 2])
def test_every_policy_serves_every_request_as_the_plain_reference_does(
    scheduler, row_policy, refresh
):
    chosen = policy(
        scheduler=scheduler, row_policy=row_policy, refresh=refresh, timeout_ticks=40, most_hits=4
    )
    options = {"channels": 2, "in_order": refresh == 0, "threads": 2, "record": True}
    fast, slow = (
        dram_run(spec(), chosen, *requests(800, scheduler), **options, ticking=ticking)
        for ticking in (False, True)
    )
    assert fast.keys() == slow.keys()
    for name in fast:
        assert np.array_equal(fast[name], slow[name]), name
    assert fast["counts"][:, 3:7].sum() + fast["forwarded"] + fast["coalesced"] == 800


def test_a_stream_that_is_remembered_ends_as_one_that_is_not():
    bits = np.zeros((22, 4), np.int32)
    fields = [(0, 1)] + [(1, 8), (1, 4)] + [(3, 1 << i) for i in range(5)]
    fields += [(1, 1), (1, 2), (1, 16), (1, 32)] + [(2, 1 << i) for i in range(5)]
    for place, (field, value) in enumerate(fields, start=5):
        bits[place, field] = value
    base = np.arange(0, 1 << 22, 1 << 16).astype(np.uint64)
    size, write = np.full(len(base), 1 << 16), np.zeros(len(base), bool)
    quick, whole = (
        dram_run_stream(spec(), policy(), bits, 5, base, size, write,
                        channels=2, threads=1, remember=remember)
        for remember in (True, False)
    )  # fmt: skip
    assert quick["remembered"] > 0 == whole["remembered"]
    assert np.array_equal(quick["counts"], whole["counts"])
    assert quick["last_data"] == whole["last_data"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sizes": [3, 1, 4, 4]}, "powers of two"),
        ({"sizes": [128, 2, 1, 1]}, "128 banks"),
        ({"ticks_per_cycle": 3}, "1 or 2 ticks"),
        ({"read_ticks": 0}, "at least one tick"),
        ({"refresh_ticks": 1}, "at least 2 ticks"),
        ({"refresh_together": 3}, "one of every group"),
        ({"rules": np.zeros((1, 5), np.int32)}, "rules must be"),
        ({"rules": np.array([(5, 0, 0, 1, 1, 0)], np.int32)}, "level 0..4"),
        ({"rules": np.array([(1, 0, 12, 1, 1, 0)], np.int32)}, "commands 0..11"),
        ({"rules": np.array([(1, 0, 0, 1, 0, 0)], np.int32)}, "window of 1..64"),
        ({"rules": np.array([(4, 7, 0, 1, 1, 0)], np.int32)}, "PREA and REF"),
        ({"rules": np.array([(1, 3, 3, 1, 4, 1)], np.int32)}, "no window"),
    ],
)
def test_a_spec_that_no_channel_can_have_is_refused(changed, says):
    with pytest.raises(ValueError, match=says):
        spec(**changed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"scheduler": 3}, "0, 1 or 2"),
        ({"capacity": [0, 32]}, "a queue holds"),
        ({"drain_from": 33}, "writes go first"),
        ({"drain_to": 26}, "writes go first"),
        ({"most_hits": -1}, "not negative"),
    ],
)
def test_a_policy_that_no_controller_can_have_is_refused(changed, says):
    with pytest.raises(ValueError, match=says):
        policy(**changed)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [(0, -1, "backwards"), (2, 2, "in the memory"), (3, 64, "in the memory"), (4, -1, "in the")],
)
def test_a_request_outside_the_memory_is_refused(column, value, says):
    asked = requests(5, 0)
    asked[column][3] = value
    with pytest.raises(ValueError, match=says):
        dram_run(spec(), policy(), *asked, channels=2, in_order=True, threads=1, record=False,
                 ticking=False)  # fmt: skip
