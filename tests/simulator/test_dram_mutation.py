"""Each rule of the memory core, one cycle too short, is seen by the checker; unharmed, none is."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

import msgspec
import pytest

from moesaic.hardware.dram_tables import dram_tables
from moesaic.hardware.load import dram_config

BENCH = Path(__file__).parents[2] / "bench" / "accuracy" / "dram_mutation.py"
SPEC = importlib.util.spec_from_file_location("dram_mutation", BENCH)
assert SPEC is not None
assert SPEC.loader is not None
bench = importlib.util.module_from_spec(SPEC)
sys.modules["dram_mutation"] = bench
SPEC.loader.exec_module(bench)

STANDARDS = tuple(bench.STANDARDS)
NEVER_MET = {"DDR4": 2, "DDR5": 6, "LPDDR5": 6, "GDDR6": 6, "HBM2": 6, "HBM3": 6, "HBM4": 6}


@pytest.mark.parametrize("standard", STANDARDS)
def test_a_rule_one_cycle_short_is_seen(standard):
    """Every seventeenth rule, from another one on in each standard; the slow test has them all."""
    some = slice(STANDARDS.index(standard), None, 17)
    missed = [rule for rule, found in bench.mutations(standard, some) if not found]
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize("standard", STANDARDS)
def test_every_rule_one_cycle_short_is_seen_or_never_met(standard):
    found = dict(bench.mutations(standard))
    assert [rule for rule, what in found.items() if not what] == []
    assert sum(isinstance(what, str) for what in found.values()) == NEVER_MET[standard]


@pytest.mark.parametrize("standard", STANDARDS)
def test_what_is_said_never_to_be_met_is_not(standard):
    """The rules that no run comes close to are not seen when they are gone altogether."""
    config = bench.memory(standard)
    tables = dram_tables(config)
    rows = zip(bench.rows_of(tables), tables.rule_names, strict=True)
    silent = [i for i, (row, name) in enumerate(rows) if bench.never(config, row, name)]
    kept = [i for i in range(len(tables.rules)) if i not in silent]
    assert len(silent) == NEVER_MET[standard]
    for before, after in ((bench.RD, bench.WR), (bench.REF, bench.REF), (bench.REFP, bench.REFP)):
        controller = next(bench.controllers(before, after))
        if controller.refresh == "per-bank" and not tables.refresh_bank_ticks:
            continue
        asked = bench.traffic(config, 0, 1.0, 2, 3, 3000)
        gone = bench.without(tables, kept)
        assert bench.watched(config, gone, controller, asked, controller.refresh).ok


@pytest.mark.parametrize("name", [*bench.STANDARDS.values(), "hbm2_2000_4Gb_1pc"])
def test_the_unharmed_core_breaks_no_rule(name):
    config = msgspec.structs.replace(dram_config(name), channels=1)
    tables = dram_tables(config)
    policies = itertools.islice(bench.all_controllers(tables), None, None, 5)
    for seed, controller in enumerate(policies):
        asked = bench.traffic(config, seed, 3.0, 3, 4, 4000)
        found = bench.watched(config, tables, controller, asked, controller.refresh)
        assert found.ok, found.table()


@pytest.mark.slow
def test_ten_million_commands_break_no_rule():
    assert bench.count_commands(10**7) >= 10**7
