"""Gangs of banks: Duplex's figures, and the closed form against the commands of the core."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware import Gang, Pim
from moesaic.hardware.load import device, dram_config
from moesaic.simulator.memory import Controller
from moesaic.simulator.pim import LOGIC_PIM, bundle_bandwidth, row_period
from moesaic.simulator.pim.rates import gang_share, one_channel, run_alone

HBM3 = {
    "5.2": one_channel(dram_config("hbm3_5200_duplex_16ch2pc")),
    "6.4": one_channel(dram_config("hbm3_6400_16Gb_16ch2pc_2sid")),
}
SETS = pytest.mark.parametrize("name", HBM3)
BUNDLE = Gang(bank_groups=4, banks=2)
ONE_BY_ONE = msgspec.structs.replace(BUNDLE, broadcast=False)


def with_cycles(config, organisation=None, **cycles):
    timing = config.timing
    known = timing.cycles | cycles
    part = msgspec.structs.replace(timing.organisation, **(organisation or {}))
    timing = msgspec.structs.replace(timing, cycles=known, organisation=part)
    return msgspec.structs.replace(config, timing=timing)


@SETS
def test_a_bundle_of_eight_banks_gives_four_times_the_host(name):
    result = bundle_bandwidth(HBM3[name], BUNDLE)
    assert result.gain == 4
    host = HBM3[name].peak_bandwidth_bytes_per_s / 2  # of two pseudo channels
    assert result.peak_bytes_per_s == 4 * host


def test_the_row_period_by_hand():
    # 32 reads of tCCD_L 4 take 128 cycles; alone a bundle takes 31 + 124 + 9 + 26, and one more for
    # the lengths of the commands and the rising edge.
    assert row_period(HBM3["6.4"], BUNDLE) == 191
    assert row_period(HBM3["6.4"], BUNDLE, 2) == 128
    # Bank by bank the eighth ACT comes one tFAW and three tRRD after the first: 24 + 12.
    assert row_period(HBM3["6.4"], ONE_BY_ONE) == 191 + 36


def test_refresh_costs_its_length_and_what_closes_and_opens_rows_around_it():
    # tRFC 720, tRTP 9, tRP 26, tRCD 31 but for the 4 to the next read; all but the edges.
    lost = bundle_bandwidth(HBM3["6.4"], BUNDLE, 2).refresh_loss * 6240
    assert lost == pytest.approx(720 + 9 + 26 + 31 - 4, abs=1)


@SETS
@pytest.mark.parametrize("shape", [(1, 4, 2), (2, 4, 1), (2, 4, 4)])
@pytest.mark.parametrize("spaces", [1, 2, 4])
@pytest.mark.parametrize("broadcast", [True, False])
def test_the_core_reaches_the_closed_form_within_one_percent(name, shape, spaces, broadcast):
    stack_ids, groups, banks = shape
    gang = Gang(stack_ids=stack_ids, bank_groups=groups, banks=banks, broadcast=broadcast)
    if spaces > gang.count_in(HBM3[name]):
        with pytest.raises(BadInput, match=r"spaces: must lie in 1\.\.1"):
            bundle_bandwidth(HBM3[name], gang, spaces)
        return
    share = gang_share(run_alone(HBM3[name], gang, spaces), gang)
    assert share == pytest.approx(bundle_bandwidth(HBM3[name], gang, spaces).share, rel=0.01)


@SETS
@pytest.mark.parametrize(("spaces", "within"), [(1, 0.002), (2, 0.012), (4, 0.01)])
def test_acts_within_one_bank_group_keep_its_longer_distance(name, spaces, within):
    gang = Gang(bank_groups=1, banks=4, broadcast=False)
    share = gang_share(run_alone(HBM3[name], gang, spaces), gang)
    assert share == pytest.approx(bundle_bandwidth(HBM3[name], gang, spaces).share, rel=within)


@given(
    rcd=st.integers(5, 60),
    rp=st.integers(5, 60),
    ras=st.integers(5, 120),
    faw=st.integers(8, 80),
    rrd=st.integers(2, 12),
    columns=st.sampled_from([4, 16, 64]),
    spaces=st.integers(1, 4),
    broadcast=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_no_schedule_of_the_core_beats_the_closed_form(
    rcd, rp, ras, faw, rrd, columns, spaces, broadcast
):
    config = with_cycles(
        HBM3["6.4"], {"columns": columns}, tRCDRD=rcd, tRP=rp, tRAS=ras, tRC=ras + rp, tFAW=faw,
        tRRDS=rrd, tRRDL=rrd,
    )  # fmt: skip
    config = msgspec.structs.replace(
        config, address_map=config.address_map.replace("co:5", f"co:{columns.bit_length() - 1}")
    )
    gang = msgspec.structs.replace(BUNDLE, broadcast=broadcast)
    free = 1 - bundle_bandwidth(config, gang, spaces).activation_loss
    reached = gang_share(run_alone(config, gang, spaces, Controller(refresh="off")), gang)
    assert reached <= free * 1.002  # rows that the counted intervals cut
    if broadcast:
        assert reached == pytest.approx(free, rel=0.02)


@given(spaces=st.integers(1, 3), name=st.sampled_from(list(HBM3)))
def test_more_bundles_in_turn_and_one_act_for_all_never_lose(spaces, name):
    one = row_period(HBM3[name], BUNDLE, spaces)
    assert row_period(HBM3[name], BUNDLE, spaces + 1) <= one
    assert one <= row_period(HBM3[name], ONE_BY_ONE, spaces)


def test_the_units_of_a_stack_are_those_that_duplex_states():
    assert LOGIC_PIM.flops_per_s == 32 * 512 * 2 * 650e6
    assert LOGIC_PIM.flops_per_s == pytest.approx(21.3e12, rel=1e-3)
    # One module a pseudo channel and a clock of tCCD_S: 1024 operations on 8 x 32 / 2 bytes.
    assert 2 * LOGIC_PIM.macs / (8 * 32 / 2) == 8
    assert LOGIC_PIM.operations_per_byte(4 * 3.352e12 / 5) == pytest.approx(7.94, abs=0.005)


def test_the_catalogue_says_what_the_parts_give():
    duplex = device("duplex")
    assert isinstance(duplex, Pim)
    assert duplex.gang is not None
    assert duplex.peak_flops_per_s["bf16"] == pytest.approx(duplex.stacks * LOGIC_PIM.flops_per_s)
    gain = bundle_bandwidth(HBM3["5.2"], duplex.gang).gain
    assert duplex.internal_bandwidth_bytes_per_s == gain * duplex.memory.bandwidth_bytes_per_s


def test_a_bundle_slower_than_its_host_is_refused():
    with pytest.raises(BadInput, match="slower than the host"):
        bundle_bandwidth(HBM3["6.4"], Gang(bank_groups=1, banks=1))
