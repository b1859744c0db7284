"""Tables of a DRAM config hold the closed formulas of its timings, in ticks."""

import numpy as np
import pytest

from moesaic.hardware.dram import COMMANDS, LEVELS
from moesaic.hardware.dram_tables import dram_tables
from moesaic.hardware.load import dram_config, dram_names

PEERS = (
    "hbm2_2000_4Gb_1pc",
    "hbm2_2000_4Gb_16pc",
    "hbm3_6400_4Gb_1ch2pc",
    "hbm3_6400_4Gb_16ch2pc",
    "ddr4_3200_8Gb_x8_1ch",
)


def distance(name, level, before, after, window=1, others=0):
    """Ticks that the table asks for, or None."""
    tables = dram_tables(dram_config(name))
    key = [LEVELS.index(level), COMMANDS.index(before), COMMANDS.index(after)]
    rows = tables.rules
    found = rows[(rows[:, :3] == key).all(1) & (rows[:, 4] == window) & (rows[:, 5] == others)]
    assert len(found) <= 1, "one row for each key"
    return int(found[0, 3]) if len(found) else None


# level, before, after, window, ticks: by hand from the cycles of the peers' configurations.
BY_HAND = {
    "hbm2_2000_4Gb_1pc": [
        ("bank", "ACT", "RD", 1, 14 + (2 - 1)),  # counted from the second cycle of the ACT
        ("bank", "ACT", "WR", 1, 12 + 1),
        ("bank", "ACT", "PRE", 1, 34 + 1),
        ("bank", "PRE", "ACT", 1, 14 - 1),
        ("bank", "ACT", "ACT", 1, 48),
        ("bank", "RDA", "ACT", 1, 5 + 14 - 1),
        ("bank", "WRA", "ACT", 1, 5 + 2 + 16 + 14 - 1),
        ("bank", "WR", "PRE", 1, 5 + 2 + 16),
        ("rank", "RD", "RD", 1, 2),
        ("bank_group", "RD", "RD", 1, 4),
        ("rank", "RD", "WR", 1, 14 + 2 + 2 - 5),
        ("rank", "WR", "RD", 1, 5 + 2 + 6),
        ("bank_group", "WR", "RD", 1, 5 + 2 + 8),
        ("rank", "ACT", "ACT", 4, 15),
        ("rank", "ACT", "REF", 1, 48 + 1),
        ("rank", "REF", "ACT", 1, 260 - 1),
        ("rank", "PRE", "PRE", 1, None),  # tPPD is 0
        ("channel", "ACT", "PRE", 1, 2),  # the ACT holds the row bus
        ("channel", "ACT", "RD", 1, None),  # and not the column bus
        ("channel", "PRE", "ACT", 1, None),
    ],
    "hbm3_6400_4Gb_1ch2pc": [
        ("bank", "ACT", "RD", 1, 31 * 2 + (3 - 1) - (2 - 1)),
        ("bank", "ACT", "WR", 1, 15 * 2 + 2 - 1),
        ("bank", "PRE", "ACT", 1, 26 * 2 + 0 - 2),
        ("bank", "ACT", "PRE", 1, 45 * 2 + 2 - 0),
        ("bank", "RD", "PRE", 1, 9 * 2 + 1 - 0),
        ("rank", "PRE", "PREA", 1, 2 * 2),
        ("rank", "RD", "WR", 1, 20 * 2),
        ("rank", "ACT", "ACT", 4, 24 * 2),
        ("rank", "ACT", "REF", 1, 71 * 2 + 2),
        ("rank", "REF", "ACT", 1, 416 * 2 - 2),
        ("bank_group", "ACT", "ACT", 1, 5 * 2),
        ("channel", "ACT", "REF", 1, 3),
        ("channel", "RD", "WR", 1, None),  # both start with a cycle and take one
        ("channel", "RD", "ACT", 1, None),
        ("channel", "PRE", "PRE", 1, None),
    ],
    "ddr4_3200_8Gb_x8_1ch": [
        ("bank", "ACT", "RD", 1, 22),
        ("bank", "ACT", "ACT", 1, 74),
        ("rank", "RD", "WR", 1, 22 + 4 + 2 - 16),
        ("bank_group", "WR", "RD", 1, 16 + 4 + 12),
        ("rank", "ACT", "ACT", 4, 34),
        ("rank", "REF", "ACT", 1, 576),
        ("channel", "ACT", "RD", 1, None),  # every command takes one cycle
    ],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_distance_is_the_timing_between_the_last_cycles_of_two_commands(name):
    for level, before, after, window, ticks in BY_HAND[name]:
        assert distance(name, level, before, after, window) == ticks, (level, before, after)


def test_the_configurations_of_the_peers_are_there_under_their_names():
    assert set(PEERS) <= set(dram_names())
    assert [dram_config(name).name for name in PEERS] == list(PEERS)


@pytest.mark.parametrize(("many", "one"), [(PEERS[1], PEERS[0]), (PEERS[3], PEERS[2])])
def test_every_channel_of_a_memory_obeys_the_same_table(many, one):
    many, one = dram_tables(dram_config(many)), dram_tables(dram_config(one))
    assert np.array_equal(many.rules, one.rules)
    assert many.rule_names == one.rule_names


def test_peak_and_capacity_follow_from_the_buses_and_the_rows():
    assert dram_config(PEERS[0]).peak_bandwidth_bytes_per_s == 64 / 8 * 2e9
    assert dram_config(PEERS[3]).peak_bandwidth_bytes_per_s == 1024 / 8 * 6.4e9
    assert dram_config(PEERS[4]).peak_bandwidth_bytes_per_s == 64 / 8 * 3.2e9
    assert dram_config(PEERS[4]).capacity_bytes == 8 * 2**30
    assert dram_config(PEERS[2]).banks == 2 * 16
    assert dram_config(PEERS[0]).row_bytes == 1024


def test_ticks_of_data_and_refresh_are_counted_from_the_command():
    hbm3 = dram_tables(dram_config(PEERS[2]))
    assert (hbm3.read_ticks, hbm3.write_ticks) == (44, 24)
    assert hbm3.refresh_ticks == 2 * 6240
    assert hbm3.refresh_bank_ticks == 6240 // 16 * 2
    assert dram_tables(dram_config(PEERS[4])).refresh_bank_ticks == 0


def test_only_precharges_of_hbm3_start_between_two_cycles():
    hbm3, hbm2 = (dram_tables(dram_config(PEERS[i])) for i in (2, 0))
    assert [COMMANDS[i] for i in np.flatnonzero(~hbm3.rising)] == ["PRE", "PREA", "PREG"]
    assert hbm2.rising.all()
