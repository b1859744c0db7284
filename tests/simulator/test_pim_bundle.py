"""Bundles of banks: Duplex's figures, and the closed form against commands issued one by one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Pim
from moesaic.hardware.load import device
from moesaic.simulator.pim import (
    LOGIC_DIE_M2,
    LOGIC_PIM,
    LOGIC_PIM_AREA_M2,
    TIMINGS,
    Bundle,
    Timing,
    area_share,
    bundle_bandwidth,
    row_period,
)

SETS = pytest.mark.parametrize("name", TIMINGS)


def issued(timing: Timing, bundle: Bundle, rows: int) -> float:
    """Cycles between rows when every command goes out as early as the rules allow."""
    bursts = timing.row_bytes // timing.burst_bytes
    may_open = [0.0] * bundle.rotating
    opened: list[float] = []  # the ACTs that tRRD and tFAW see
    last_of_bank = [[-1e9] * bundle.banks for _ in range(bundle.rotating)]
    next_read, starts = 0.0, []
    for row in range(rows):
        turn = row % bundle.rotating
        for bank in range(bundle.banks):
            at = max(may_open[turn], last_of_bank[turn][bank] + timing.rc)
            if not bundle.broadcast:
                if opened:
                    at = max(at, opened[-1] + timing.rrd_s)
                if len(opened) >= 4:
                    at = max(at, opened[-4] + timing.faw)
                opened.append(at)
            last_of_bank[turn][bank] = at
        ready = max(last_of_bank[turn])
        first = max(next_read, ready + timing.rcd)
        starts.append(first)
        last = first + (bursts - 1) * timing.ccd_l
        next_read = last + timing.ccd_l
        may_open[turn] = max(last + timing.rtp, ready + timing.ras) + timing.rp
    half = rows // 2 // bundle.rotating * bundle.rotating
    return (starts[-1] - starts[-1 - half]) / half


@SETS
def test_a_bundle_of_eight_banks_gives_four_times_the_host(name):
    result = bundle_bandwidth(TIMINGS[name])
    assert result.gain == 4
    timing = TIMINGS[name]
    assert result.peak_bytes_per_s == 4 * timing.burst_bytes / (timing.ccd_s * timing.tck_s)


@SETS
def test_refresh_takes_its_length_over_its_interval(name):
    timing = TIMINGS[name]
    assert bundle_bandwidth(timing).refresh_loss == timing.rfc / timing.refi
    assert bundle_bandwidth(TIMINGS["hbm3-5.2"]).refresh_loss == pytest.approx(1 / 15)


def test_the_row_period_by_hand():
    # 32 bursts of tCCD_L 4 are 128 cycles; alone a bundle takes 31 + 124 + 9 + 26.
    timing = TIMINGS["hbm3-6.4"]
    assert row_period(timing, Bundle()) == 190
    assert row_period(timing, Bundle(rotating=2)) == 128
    # Bank by bank the eighth ACT comes one tFAW and three tRRD after the first: 24 + 12.
    assert row_period(timing, Bundle(broadcast=False)) == 190 + 36


@SETS
@pytest.mark.parametrize("rotating", [1, 2, 4])
@pytest.mark.parametrize("broadcast", [True, False])
def test_the_closed_form_is_what_issued_commands_reach(name, rotating, broadcast):
    bundle = Bundle(rotating=rotating, broadcast=broadcast)
    assert row_period(TIMINGS[name], bundle) == pytest.approx(
        issued(TIMINGS[name], bundle, 64), rel=0.01
    )


@given(
    rcd=st.integers(5, 60),
    rp=st.integers(5, 60),
    ras=st.integers(5, 120),
    faw=st.integers(4, 80),
    rrd_s=st.integers(1, 12),
    row_bytes=st.sampled_from([128, 512, 1024, 2048]),
    rotating=st.integers(1, 4),
    broadcast=st.booleans(),
)
def test_no_schedule_beats_the_closed_form(
    rcd, rp, ras, faw, rrd_s, row_bytes, rotating, broadcast
):
    timing = msgspec.structs.replace(
        TIMINGS["hbm3-6.4"], rcd=rcd, rp=rp, ras=ras, rc=ras + rp, faw=faw, rrd_s=rrd_s,
        row_bytes=row_bytes,
    )  # fmt: skip
    bundle = Bundle(rotating=rotating, broadcast=broadcast)
    assert row_period(timing, bundle) <= issued(timing, bundle, 96) * 1.0001
    if broadcast:
        assert row_period(timing, bundle) == pytest.approx(issued(timing, bundle, 96))


@given(rotating=st.integers(1, 8), banks=st.integers(2, 16))
def test_more_bundles_in_turn_and_one_act_for_all_never_lose(rotating, banks):
    timing = TIMINGS["hbm3-5.2"]
    one = row_period(timing, Bundle(banks=banks, rotating=rotating))
    assert row_period(timing, Bundle(banks=banks, rotating=rotating + 1)) <= one
    assert one <= row_period(timing, Bundle(banks=banks, rotating=rotating, broadcast=False))


def test_the_units_of_a_stack_are_those_that_duplex_states():
    assert LOGIC_PIM.flops_per_s == 32 * 512 * 2 * 650e6
    assert LOGIC_PIM.flops_per_s == pytest.approx(21.3e12, rel=1e-3)
    # One module a pseudo channel and a clock of tCCD_S: 1024 operations on 8 x 32 / 2 bytes.
    assert 2 * LOGIC_PIM.macs / (8 * 32 / 2) == 8
    assert LOGIC_PIM.operations_per_byte(4 * 3.352e12 / 5) == pytest.approx(7.94, abs=0.005)


def test_the_catalogue_says_what_the_parts_give():
    duplex = device("duplex")
    assert isinstance(duplex, Pim)
    assert duplex.peak_flops_per_s["bf16"] == pytest.approx(duplex.stacks * LOGIC_PIM.flops_per_s)
    gain = bundle_bandwidth(TIMINGS["hbm3-5.2"]).gain
    assert duplex.internal_bandwidth_bytes_per_s == gain * duplex.memory.bandwidth_bytes_per_s
    area = duplex.stacks * sum(LOGIC_PIM_AREA_M2.values())
    assert duplex.area_m2 == pytest.approx(area, rel=1e-3)


def test_the_area_is_147_permille_of_the_logic_die():
    assert sum(LOGIC_PIM_AREA_M2.values()) == pytest.approx(17.81e-6)
    assert area_share(LOGIC_PIM_AREA_M2, LOGIC_DIE_M2) == pytest.approx(0.1471, abs=1.5e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"row_bytes": 1000}, "row_bytes"),
        ({"rfc": 7000}, "rfc"),
        ({"tck_s": -1.0}, "tck_s"),
        ({"ccd_l": 0}, "ccd_l"),
    ],
)
def test_a_timing_set_that_cannot_be_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        msgspec.structs.replace(TIMINGS["hbm3-6.4"], **change)


def test_a_bundle_slower_than_its_host_is_refused():
    with pytest.raises(BadInput, match="banks: of 1"):
        bundle_bandwidth(TIMINGS["hbm3-6.4"], Bundle(banks=1))
