"""The checker of commands: each rule holds to the tick, one tick less is named; hostile records."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import dram_config
from moesaic.simulator.memory.check import check_commands

ACT, PRE, PREA, RD, WR, RDA, WRA, REF, REFP = range(9)
HBM2, HBM3 = "hbm2_2000_4Gb_1pc", "hbm3_6400_4Gb_1ch2pc"
DDR4, DDR5 = "ddr4_3200_8Gb_x8_1ch", "ddr5_4800_16Gb_x8_2ch"


def config(name, *, standard=None, ranks=None, stack_ids=None, **cycles):
    """A config of the catalogue with some cycles, sizes or its standard's name replaced."""
    found = dram_config(name)
    timing = msgspec.structs.replace(found.timing, cycles=found.timing.cycles | cycles)
    if standard:
        named = msgspec.structs.replace(timing.standard, name=standard)
        timing = msgspec.structs.replace(timing, standard=named)
    if stack_ids:
        sizes = msgspec.structs.replace(timing.organisation, stack_ids=stack_ids)
        timing = msgspec.structs.replace(timing, organisation=sizes)
    found = msgspec.structs.replace(found, timing=timing)
    return msgspec.structs.replace(found, ranks=ranks) if ranks else found


def check(memory, *commands, refresh="off"):
    """commands: (tick, command, bank), row 0 where there is one."""
    tick, command, bank = np.array(commands, np.int64).reshape(-1, 3).T
    row = np.where(command == ACT, 0, -1)
    return check_commands(memory, tick, 0 * tick, command, bank, row, refresh=refresh)


OPEN_0_4 = ((0, ACT, 0), (10, ACT, 4))
"""Banks 0 and 4 lie in different groups of four."""
TIGHT = [
    # HBM2: an ACT takes two cycles and counts from the second, so one more to what follows.
    ("tRC", HBM2, {}, [(0, ACT, 0), (34 + 1, PRE, 0)], (48, ACT, 0)),
    ("tRCDRD", HBM2, {}, [(0, ACT, 0)], (14 + 1, RD, 0)),
    ("tRCDWR", HBM2, {}, [(0, ACT, 0)], (12 + 1, WR, 0)),
    ("tRAS", HBM2, {}, [(0, ACT, 0)], (34 + 1, PRE, 0)),
    ("tRAS", HBM2, {}, [(0, ACT, 0)], (34 + 1, PREA, 0)),
    ("tRP", HBM2, {}, [(0, ACT, 0), (60, PRE, 0)], (60 + 14 - 1, ACT, 0)),
    ("tRP after PREA", HBM2, {"tRPab": 17}, [(0, ACT, 0), (60, PREA, 0)], (60 + 17 - 1, ACT, 9)),
    ("tRTP", HBM2, {}, [(0, ACT, 0), (60, RD, 0)], (65, PRE, 0)),
    ("tRTP", HBM2, {}, [(0, ACT, 0), (60, RD, 0)], (65, PREA, 0)),
    ("tWR", HBM2, {}, [(0, ACT, 0), (60, WR, 0)], (60 + 5 + 2 + 16, PRE, 0)),
    ("tRTP + tRP", HBM2, {}, [(0, ACT, 0), (60, RDA, 0)], (60 + 5 + 14 - 1, ACT, 0)),
    ("tWR + tRP", HBM2, {}, [(0, ACT, 0), (60, WRA, 0)], (60 + 23 + 14 - 1, ACT, 0)),
    ("tCCD_L of reads", HBM2, {}, [(0, ACT, 0), (60, RD, 0)], (64, RDA, 0)),
    ("tCCD_L of writes", HBM2, {"tCCDLW": 9}, [(0, ACT, 0), (60, WR, 0)], (69, WR, 0)),
    ("tCCD_S of reads", HBM2, {}, [*OPEN_0_4, (60, RD, 0)], (62, RD, 4)),
    ("tCCD_S of writes", HBM2, {"tCCDSW": 3}, [*OPEN_0_4, (60, WR, 0)], (63, WR, 4)),
    ("tWTR_L", HBM2, {}, [(0, ACT, 0), (60, WR, 0)], (60 + 5 + 2 + 8, RD, 0)),
    ("tWTR_S", HBM2, {}, [*OPEN_0_4, (60, WR, 0)], (60 + 5 + 2 + 6, RD, 4)),
    ("tRTW", HBM2, {}, [*OPEN_0_4, (60, RD, 0)], (73, WR, 4)),
    ("tRRD_L", HBM2, {"tRRDL": 6}, [(0, ACT, 0)], (6, ACT, 1)),
    ("tRRD_S", HBM2, {}, [(0, ACT, 0)], (4, ACT, 4)),
    ("tFAW", HBM2, {"tFAW": 19}, [(4 * i, ACT, 4 * i) for i in range(4)], (19, ACT, 1)),
    ("tRC to REF", HBM2, {"tRC": 99}, [(0, ACT, 0), (40, PRE, 0)], (99 + 1, REF, 0)),
    ("tRP to REF", HBM2, {}, [(0, ACT, 0), (60, PRE, 0)], (74, REF, 0)),
    ("tRP after PREA to REF", HBM2, {"tRPab": 17}, [(0, ACT, 0), (60, PREA, 0)], (77, REF, 0)),
    ("tRTP + tRP to REF", HBM2, {}, [(0, ACT, 0), (60, RDA, 0)], (60 + 19, REF, 0)),
    ("tWR + tRP to REF", HBM2, {}, [(0, ACT, 0), (60, WRA, 0)], (60 + 37, REF, 0)),
    ("tRFC", HBM2, {}, [(0, REF, 0)], (260 - 1, ACT, 9)),
    ("tRFC", HBM2, {}, [(0, REF, 0)], (260, REF, 0)),
    ("tRC to REFP", HBM2, {"tRC": 99}, [(0, ACT, 0), (40, PRE, 0)], (99 + 1, REFP, 0)),
    ("tRP to REFP", HBM2, {}, [(0, ACT, 0), (60, PRE, 0)], (74, REFP, 0)),
    ("tRP after PREA to REFP", HBM2, {"tRPab": 17}, [(0, ACT, 0), (60, PREA, 0)], (77, REFP, 9)),
    ("tRTP + tRP to REFP", HBM2, {}, [(0, ACT, 0), (60, RDA, 0)], (60 + 19, REFP, 0)),
    ("tWR + tRP to REFP", HBM2, {}, [(0, ACT, 0), (60, WRA, 0)], (60 + 37, REFP, 0)),
    ("tRFCpb", HBM2, {}, [(0, REFP, 3)], (160 - 1, ACT, 3)),
    ("tRFCpb", HBM2, {}, [(0, REFP, 3)], (160, REF, 0)),
    ("tRREFD", HBM2, {}, [(0, REFP, 3)], (8 - 1, ACT, 4)),
    ("tREF2REF", HBM2, {"tREF2REF": 11}, [(0, REFP, 3)], (11, REFP, 4)),
    ("tRRD_S to REFP", HBM2, {}, [(0, ACT, 3)], (4 + 1, REFP, 4)),
    ("tRRD_L to REFP", HBM2, {"tRRDL": 6}, [(0, ACT, 0)], (6 + 1, REFP, 1)),
    ("row bus", HBM2, {"tRRDS": 1, "tRRDL": 1}, [(0, ACT, 0)], (2, ACT, 4)),
    ("column bus", HBM2, {"tCCDS": 0, "burst_cycles": 1}, [*OPEN_0_4, (60, RD, 0)], (61, RD, 4)),
    ("data bus", HBM2, {"tCCDS": 1, "burst_cycles": 3}, [*OPEN_0_4, (60, RD, 0)], (63, RD, 4)),
    # A write's data come 9 cycles sooner after the command than a read's: 60 + 14 + 2 - 5.
    ("data bus", HBM2, {"tRTW": 1}, [*OPEN_0_4, (60, RD, 0)], (71, WR, 4)),
    # HBM3: ticks of half a cycle; an ACT counts from its third tick, a read from its second.
    ("tRAS", HBM3, {}, [(0, ACT, 0)], (2 * 45 + 2, PRE, 0)),
    ("tRTP", HBM3, {}, [(0, ACT, 0), (200, RD, 0)], (200 + 2 * 9 + 1, PRE, 0)),
    ("tPPD", HBM3, {}, [(0, ACT, 0), (8, ACT, 4), (200, PRE, 0)], (204, PRE, 4)),
    # DDR4: one bus for all commands, data shared by the ranks.
    ("tRCDRD", DDR4, {}, [(0, ACT, 0)], (22, RD, 0)),
    ("tRP after PREA", DDR4, {}, [(0, ACT, 0), (60, PREA, 0)], (82, ACT, 0)),
    ("command bus", DDR4, {"tPPD": 0}, [*OPEN_0_4, (80, PRE, 0)], (81, PRE, 4)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "name", "cycles", "before", "last"),
    TIGHT,
    ids=[f"{rule}-{name[:4]}-{i}" for i, (rule, name, *_) in enumerate(TIGHT)],
)
def test_a_rule_is_met_to_the_tick_and_broken_one_tick_sooner(rule, name, cycles, before, last):
    memory, tick = config(name, **cycles), last[0]
    met = check(memory, *before, last)
    assert met.ok, met.table()
    assert met[rule].slack_ticks == 0
    broken = check(memory, *before, (tick - 1, *last[1:]))
    assert broken[rule].violations == 1
    assert broken[rule].slack_ticks == -1
    assert broken[rule].first.startswith(f"channel 0, tick {tick - 1}: ")


def test_a_violation_is_told_in_words():
    early = check(config(HBM2), (0, ACT, 5), (47, ACT, 5))
    assert early["tRC"].first == (
        "channel 0, tick 47: ACT bank 5, 47 ticks after ACT bank 5, tRC asks for 48"
    )
    assert early["closed before ACT"].first == (
        "channel 0, tick 47: ACT bank 5, its row is still open"
    )
    assert not early.ok
    assert early["tRC"].first in early.table()


def test_a_fifth_activate_waits_for_the_window_of_each_rank_alone():
    memory = config(HBM3)
    four = [(8 * i, ACT, 4 * (i % 4)) for i in range(4)]
    other = (36, ACT, 16)
    assert check(memory, *four, other)["tFAW"].slack_ticks is None
    assert check(memory, *four, (46, ACT, 1))["tFAW"].violations == 1


def test_stack_ids_are_told_apart():
    memory = config(HBM2, stack_ids=2, tCCDR=5, tCCDS=2)
    opened = [(0, ACT, 0), (20, ACT, 16), (40, ACT, 4)]
    assert check(memory, *opened, (60, RD, 0), (62, RD, 4)).ok
    assert check(memory, *opened, (60, RD, 0), (65, RD, 16))["tCCD_R of reads"].slack_ticks == 0
    late = check(memory, *opened, (60, RD, 0), (64, RD, 16))
    assert late["tCCD_R of reads"].violations == 1
    assert "4 ticks after RD bank 0" in late["tCCD_R of reads"].first
    assert late["tCCD_S of reads"].slack_ticks is None


def test_ranks_leave_the_shared_data_bus_time_to_turn():
    memory = config(DDR4, ranks=2)
    opened = [(0, ACT, 0), (10, ACT, 16), (20, ACT, 20)]
    for first, second, gap in ((RD, RD, 4 + 2), (WR, RD, 16 + 4 + 2 - 22), (RD, WR, 22 + 6 - 16)):
        start = 60 + max(gap, 1)
        met = check(memory, *opened, (60, first, 0), (start, second, 16))
        assert met.ok
        if gap > 1:
            assert met["tCS"].slack_ticks == 0
            assert not check(memory, *opened, (60, first, 0), (start - 1, second, 16)).ok
    pseudo = check(config(HBM3), (0, ACT, 0), (10, ACT, 16), (80, RD, 0), (82, RD, 16))
    assert pseudo.ok
    with pytest.raises(StopIteration):
        pseudo["tCS"]


def test_what_a_command_finds_open():
    memory = config(HBM2)
    assert check(memory, (0, RD, 0))["open before RD, WR"].violations == 1
    assert check(memory, (0, ACT, 0), (99, REF, 0))["closed before refresh"].violations == 1
    assert check(memory, (0, ACT, 0), (99, REFP, 0))["closed before refresh"].violations == 1
    assert check(memory, (0, ACT, 0), (99, REFP, 1)).ok
    assert check(memory, (0, ACT, 0), (60, RDA, 0), (99, RD, 0))["open before RD, WR"].violations
    assert check(memory, (0, ACT, 0), (60, PREA, 0), (99, REF, 0)).ok
    other = check_commands(memory, [0, 60], [0, 0], [ACT, RD], [0, 0], [7, 8], refresh="off")
    assert other["the row asked for"].violations == 1


def test_only_precharges_start_on_a_falling_edge():
    memory = config(HBM3)
    for command in (RD, REF, ACT, REFP):
        assert check(memory, (1001, command, 0))["rising edge"].violations == 1
    assert check(memory, (0, ACT, 0), (301, PRE, 0), (401, PREA, 0)).ok


def test_waiting_for_a_rising_edge_is_no_slack():
    memory = config(HBM3)
    asked = 2 * 31 + 2 - 1  # an ACT counts from its third tick, a read from its second
    assert check(memory, (0, ACT, 0), (asked + 1, RD, 0))["tRCDRD"].slack_ticks == 0
    assert check(memory, (0, ACT, 0), (asked + 3, RD, 0))["tRCDRD"].slack_ticks == 2
    assert check(memory, (0, ACT, 0), (asked - 1, RD, 0))["tRCDRD"].violations == 1


def test_a_same_bank_refresh_takes_that_bank_of_every_group():
    memory = config(DDR5)
    for bank in (1, 5, 29):
        assert check(memory, (0, REFP, 1), (312 - 1, ACT, bank)).ok
        assert check(memory, (0, REFP, 1), (312 - 2, ACT, bank))["tRFCpb"].violations == 1
        opened = check(memory, (0, ACT, bank), (500, REFP, 1))
        assert opened["closed before refresh"].violations == 1
    assert check(memory, (0, REFP, 1), (72 - 1, ACT, 2)).ok
    assert check(memory, (0, REFP, 1), (72 - 2, ACT, 2))["tRREFD"].violations == 1
    assert check(memory, (0, ACT, 28), (13 - 1, REFP, 1))["tRRD_L to REFP"].violations == 1


def test_refreshes_may_wait_for_eight_intervals():
    memory, every = config(HBM2), 3900
    late = [((k + 9) * every, REF, 0) for k in range(20)]
    assert check(memory, *late, refresh="all-bank").ok
    assert check(memory, *late, refresh="all-bank").largest_refresh_gap_ticks == 9 * every
    later = [((k + 9) * every + (k > 5), REF, 0) for k in range(20)]
    assert check(memory, *later, refresh="all-bank")["refresh mean"].violations == 14
    slow = check(
        memory, *[(k * (every + 1), REF, 0) for k in range(1, 9 * every)], refresh="all-bank"
    )
    assert slow["refresh gap"].violations == 0
    assert slow["refresh mean"].violations > 0
    gap = [*late, (late[-1][0] + 9 * every + 1, REF, 0)]
    assert check(memory, *gap, refresh="all-bank")["refresh gap"].violations == 1
    assert check(memory, (99 * every, ACT, 0), refresh="all-bank")["refresh gap"].violations == 1
    assert check(memory, (99 * every, ACT, 0), refresh="off").ok


def test_each_bank_has_its_own_interval_when_banks_are_refreshed_singly():
    memory = config(HBM2)
    one_left_out = [(244 * k + 9000, REFP, k % 15) for k in range(500)]
    report = check(memory, *one_left_out, refresh="per-bank")
    assert report["refresh gap"].violations == 1
    assert report["refresh gap"].first.startswith("channel 0: bank 15 waits 130756 ticks")
    whole = [(3900 * k + 3900, REF, 0) for k in range(40)]
    assert check(memory, *whole, refresh="per-bank").ok


def test_channels_do_not_meet():
    memory = dram_config("hbm2_2000_4Gb_16pc")
    report = check_commands(memory, [0, 0, 5, 5], [3, 7, 3, 7], [0] * 4, [0, 0, 4, 4], [1] * 4)
    assert report.ok
    assert report["tRRD_S"].times == 2


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (([5, 4], [0, 0], [1, 1], [0, 1], [-1, -1]), r"tick\[1\]: time goes backwards"),
        (([0, 1], [0, 0], [0, 12], [0, 1], [0, 0]), r"command\[1\]: must lie in 0..11 \(got 12\)"),
        (([0], [0], [256], [0], [0]), "command"),
        (([0, 1], [0, 0], [1, 1], [0, 16], [0, 0]), r"bank\[1\]"),
        (([-1], [0], [1], [0], [0]), "tick"),
        (([2**61], [0], [1], [0], [0]), "tick"),
        (([0], [1], [1], [0], [0]), "channel"),
        (([0], [0], [0], [0], [1 << 40]), "row"),
        (([0], [0], [0], [0], [-1]), "an ACT names the row"),
        (([0, 1], [0], [1], [0], [0]), "differ in length"),
        (([0.5], [0], [1], [0], [0]), "whole numbers"),
        (([[0]], [0], [1], [0], [0]), "whole numbers"),
        ((["now"], [0], [1], [0], [0]), "whole numbers"),
    ],
)
def test_what_is_no_record_of_commands_is_refused(columns, says):
    with pytest.raises(BadInput, match=says):
        check_commands(config(HBM2), *columns)


def test_a_standard_or_a_refresh_that_it_does_not_know_is_refused():
    with pytest.raises(BadInput, match="all-bank, per-bank, off"):
        check(config(HBM2), (0, ACT, 0), refresh="sometimes")
    with pytest.raises(BadInput, match="no standard that the checker knows is called 'DDR9'"):
        check(config(HBM2, standard="DDR9"), (0, ACT, 0))


def test_nothing_is_fine():
    report = check(config(HBM2))
    assert report.ok
    assert report.commands == 0
    assert {rule.slack_ticks for rule in report.rules} == {None}
