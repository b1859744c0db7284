"""Timing sets and configs of the catalogue: complete, sourced, true to what they derive from."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import spec
from moesaic.hardware import dram_tables
from moesaic.hardware.dram import COMMANDS, LEVELS
from moesaic.hardware.figures import figures
from moesaic.hardware.load import (
    CATALOGUE,
    device,
    dram_config,
    dram_names,
    dram_standard,
    dram_timing,
    names,
)

SETS = sorted(path.stem for path in (CATALOGUE / "dram" / "timing").glob("*.toml"))
STANDARDS = sorted(path.stem for path in (CATALOGUE / "dram" / "standard").glob("*.toml"))
DEVICES = [name for name in names("gpu") if device(name).memory.timing is not None]

# bits of one data bus, Gb/s a pin, and what they give together with the channels, in GB/s
PEAKS = {
    "hbm2_2400_8Gb_8ch2pc_2sid": (64, 2.4, 16),
    "hbm2e_3200_8Gb_8ch2pc_2sid": (64, 3.2, 16),
    "hbm3_6400_8Gb_16ch2pc_2sid": (32, 6.4, 32),
    "hbm3e_9600_16Gb_16ch2pc_2sid": (32, 9.6, 32),
    "hbm4_8000_8Gb_32ch2pc_2sid": (32, 8.0, 64),
    "ddr4_3200_8Gb_x8_1ch_2rank": (64, 3.2, 1),
    "ddr5_4800_16Gb_x8_2ch": (32, 4.8, 2),
    "lpddr5_6400_8Gb_4ch": (16, 6.4, 4),
    "gddr6_14000_8Gb_2ch": (16, 14, 2),
}
# GiB: a stack of 8 dies of 16 Gb, a DIMM of 8 chips of 16 Gb, ...
CAPACITIES = {
    "hbm2_2400_8Gb_8ch2pc_2sid": 16,
    "hbm3_6400_8Gb_16ch2pc_2sid": 16,
    "hbm3_6400_16Gb_16ch2pc_4sid": 32,
    "hbm4_8000_16Gb_32ch2pc_4sid": 64,
    "ddr5_4800_16Gb_x8_2ch": 16,
    "lpddr5_6400_8Gb_4ch": 4,
    "gddr6_14000_16Gb_2ch": 2,
    "hbm3_5200_duplex_16ch2pc": 16,
}


def test_every_standard_has_timing_sets_and_a_config():
    assert STANDARDS == ["ddr4", "ddr5", "gddr6", "hbm2", "hbm3", "hbm4", "lpddr5"]
    used = {dram_config(name).timing.standard.name.lower() for name in dram_names()}
    assert used == {dram_timing(name).standard.name.lower() for name in SETS} == {*STANDARDS}


@pytest.mark.parametrize("name", SETS)
def test_every_figure_of_a_timing_set_has_a_source(name):
    bare = [figure.path for figure in figures(dram_timing(name)) if not figure.source.strip()]
    assert [path for path in bare if not path.startswith("standard.rules")] == []


@pytest.mark.parametrize("name", STANDARDS)
def test_a_standard_says_where_its_rules_come_from(name):
    standard = dram_standard(name)
    assert "JESD" in standard.sources["rules"]
    assert bool(standard.bus_cycles) == ("bus_cycles" in standard.sources)


def test_items_bear_the_names_of_their_files():
    assert [dram_timing(name).name for name in SETS] == SETS
    assert [dram_config(name).name for name in dram_names()] == dram_names()
    assert [dram_standard(name).name.lower() for name in STANDARDS] == STANDARDS


@pytest.mark.parametrize("name", dram_names())
def test_a_config_makes_tables_that_can_run(name):
    config = dram_config(name)
    tables = dram_tables(config)
    assert len(tables.rules) == len(tables.rule_names) > 40
    assert (tables.rules[:, 3] > 0).all()
    all_banks = [COMMANDS.index(each) for each in ("PREA", "REF")]
    coarse = tables.rules[[row[1] in all_banks or row[2] in all_banks for row in tables.rules]]
    assert coarse[:, 0].max() <= LEVELS.index("rank")
    keys = {tuple(row) for row in tables.rules[:, [0, 1, 2, 4, 5]].tolist()}
    assert len(keys) == len(tables.rules)
    assert 0 < tables.write_ticks < tables.refresh_ticks > tables.read_ticks > 0


@pytest.mark.parametrize("name", dram_names())
def test_the_bits_of_the_address_map_are_the_bits_of_the_capacity(name):
    config = dram_config(name)
    bits = sum(int(piece.partition(":")[2]) for piece in config.address_map.split())
    assert config.capacity_bytes == 2**bits


@pytest.mark.parametrize("name", PEAKS)
def test_the_peak_is_the_width_of_the_buses_times_the_rate_of_a_pin(name):
    bits, rate, buses = PEAKS[name]
    peak = dram_config(name).peak_bandwidth_bytes_per_s
    assert peak == pytest.approx(bits / 8 * rate * 1e9 * buses)


@pytest.mark.parametrize("name", CAPACITIES)
def test_the_capacity_is_that_of_the_dies(name):
    assert dram_config(name).capacity_bytes == CAPACITIES[name] * 2**30


@pytest.mark.parametrize("name", DEVICES)
def test_the_memory_of_a_gpu_reaches_the_bandwidth_of_its_data_sheet(name):
    memory = device(name).memory
    assert memory.timing is not None
    config = dram_config(memory.timing)
    assert config.device_bandwidth_bytes_per_s == pytest.approx(memory.bandwidth_bytes_per_s)
    # Odd capacities are counted to the next power of two.
    assert 0.99 < config.device_capacity_bytes / memory.capacity_bytes < 2.01


def test_every_gpu_but_those_with_gddr7_names_its_memory():
    bare = {device(name).memory.technology for name in names("gpu") if name not in DEVICES}
    assert bare == {"GDDR7"}


@pytest.mark.parametrize("name", [each for each in SETS if dram_timing(each).derived_from])
def test_a_derived_set_keeps_the_nanoseconds_of_its_base(name):
    made = dram_timing(name)
    base = dram_timing(made.derived_from)
    assert made.cycles == base.at_clock(made.clock_hz).cycles
    assert "derived" in made.sources["cycles"]


SOME = [dram_timing(name) for name in ("ddr5-4800bn-16gb-x8", "hbm3-6.4-8gb", "lpddr5-6400-8gb")]


@settings(max_examples=60, deadline=None)
@given(base=st.sampled_from(SOME), ratio=st.floats(0.3, 4))
def test_at_another_clock_nothing_gets_shorter_and_refresh_no_rarer(base, ratio):
    made = base.at_clock(base.clock_hz * ratio)
    for timing, cycles in made.cycles.items():
        time_s = base.cycles[timing] / base.clock_hz
        if timing in base.kept:
            assert cycles == base.cycles[timing]
        elif timing == "tREFI":
            assert -1e-15 <= time_s - cycles / made.clock_hz <= 1.001 / made.clock_hz
        else:
            assert cycles / made.clock_hz >= time_s * (1 - 1e-9)
            assert cycles <= math.ceil(time_s * made.clock_hz) + (2 if timing == "tRC" else 0)
    assert made["tRC"] >= made["tRAS"] + made["tRP"]


@pytest.mark.parametrize("name", dram_names())
def test_a_config_survives_the_way_to_toml_and_back(name, tmp_path):
    config = dram_config(name)
    (tmp_path / "memory.toml").write_text(spec.dump(config))
    assert dram_config(tmp_path / "memory.toml") == config


def test_stack_ids_and_rows_of_a_config_replace_those_of_its_set():
    config = dram_config("hbm3_6400_16Gb_16ch2pc_2sid")
    more = msgspec.structs.replace(config, stack_ids=4, rows=16384)
    assert more.sizes == (2, 4, 4, 4)
    assert more.capacity_bytes == config.capacity_bytes
    assert more.timing["tREFIpb"] == config.timing["tREFI"] // 64
    assert dram_tables(more).rows == 16384


def test_stack_ids_and_ranks_keep_a_distance_of_their_own():
    one, many = (
        dram_tables(dram_config(f"hbm3_6400_{each}"))
        for each in ("4Gb_16ch2pc_1sid", "8Gb_16ch2pc_2sid")
    )
    assert not one.rules[:, 5].any()
    others = many.rules[many.rules[:, 5] == 1]
    assert {int(level) for level in others[:, 0]} == {LEVELS.index("stack_id")}
    assert {int(ticks) for ticks in others[:, 3]} == {3 * 2}
    ranks = dram_tables(dram_config("ddr4_3200_8Gb_x8_1ch_2rank"))
    found = {tuple(row[1:4]) for row in ranks.rules.tolist() if row[5]}
    read, write = COMMANDS.index("RD"), COMMANDS.index("WR")
    # Data of a read start at 22, those of a write at 16; four cycles each, then two between ranks.
    assert {(read, read, 6), (write, write, 6), (read, write, 12)} <= found
    assert not any(row[:2] == (write, read) for row in found), "16 + 4 + 2 - 22 asks for nothing"


REFRESHED = [name for name in dram_names() if dram_config(name).timing.standard.refresh_together]


@pytest.mark.parametrize("name", REFRESHED)
def test_refresh_of_single_banks_goes_round_once_in_each_interval(name):
    config = dram_config(name)
    tables = dram_tables(config)
    rounds = config.banks // config.rank_count // tables.refresh_together
    assert 0 <= tables.refresh_ticks - rounds * tables.refresh_bank_ticks < rounds * 2
    # It can keep up: the next one may start before it is due.
    assert config.timing["tREF2REF"] <= config.timing["tREFIpb"]


def test_a_same_bank_refresh_of_ddr5_takes_one_bank_of_every_group():
    tables = dram_tables(dram_config("ddr5_4800_16Gb_x8_2ch"))
    assert (tables.refresh_together, tables.refresh_bank_ticks) == (8, 9360 // 4)
