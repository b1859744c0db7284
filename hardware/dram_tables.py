"""From a config to the arrays that the memory core runs on, in ticks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .dram import COMMANDS, LEVELS, DramConfig, Rule
from .dram_terms import value

COLUMN_COMMANDS = ("RD", "WR", "RDA", "WRA")
MOST_REFRESH_TICKS = 1 << 30
MOST_TICKS = (1 << 24) - 1
"""Of a rule, in the memory core."""


@dataclass(frozen=True, eq=False)
class DramTables:
    """One channel of a memory in ticks: a clock cycle, or half of one (`ticks_per_cycle` 2).

    sizes int32[4]: ranks or pseudo channels, stack ids, bank groups, banks. rising bool[9]: the
    commands, in the order of COMMANDS, that start on whole cycles only.
    rules int32[n, 6]: level, before, after, ticks, window, others; named by `rule_names`.
    read_ticks, write_ticks: from the command's start to the end of its data. refresh_ticks and
    refresh_bank_ticks: between two REF, two REFP (0: none) of a rank or pseudo channel.
    refresh_together: banks that one REFP refreshes; every bank-level rule holds for each of them.
    """

    sizes: NDArray[np.int32]
    ticks_per_cycle: int
    shared_bus: bool
    rising: NDArray[np.bool_]
    rules: NDArray[np.int32]
    rule_names: tuple[str, ...]
    read_ticks: int
    write_ticks: int
    refresh_ticks: int
    refresh_bank_ticks: int
    refresh_together: int
    access_bytes: int
    rows: int
    columns: int


def dram_tables(config: DramConfig) -> DramTables:
    """The tables of a config; raises BadInput where a rule asks for a timing that the set lacks."""
    try:
        rules = _rules(config)
    except ValueError as fault:
        raise BadInput(f"{config.timing.name}: {fault}", key="timing") from None
    timing, standard = config.timing, config.timing.standard
    ticks = standard.ticks_per_cycle
    if not 2 <= ticks * timing["tREFI"] < MOST_REFRESH_TICKS:
        raise BadInput(
            f"{timing.name}: tREFI must lie in 2..{MOST_REFRESH_TICKS // ticks - 1} cycles",
            key="timing",
            value=timing["tREFI"],
        )
    together, per_bank = config.organisation.bank_groups, standard.refresh_together
    return DramTables(
        sizes=np.array(config.sizes, np.int32),
        ticks_per_cycle=ticks,
        shared_bus=standard.shared_bus,
        rising=np.array([name not in standard.falling_edge for name in COMMANDS], np.bool_),
        rules=np.array([(*key[:3], most, *key[3:]) for key, (most, _) in rules.items()], np.int32),
        rule_names=tuple(name for _, name in rules.values()),
        read_ticks=ticks * (timing["tCL"] + timing["burst_cycles"]),
        write_ticks=ticks * (timing["tCWL"] + timing["burst_cycles"]),
        refresh_ticks=ticks * timing["tREFI"],
        refresh_bank_ticks=ticks * timing["tREFIpb"] if per_bank else 0,
        refresh_together=together if per_bank == "same_bank" else 1,
        access_bytes=config.organisation.access_bytes,
        rows=config.organisation.rows,
        columns=config.organisation.columns,
    )


Key = tuple[int, int, int, int, int]
"""level, before, after, window, others."""


def _rules(config: DramConfig) -> dict[Key, tuple[int, str]]:
    """The strictest rule of each key, with its ticks and name. Those that ask nothing are left out.

    Timings are between the last cycles of two commands, ticks between their first.
    """
    rules: dict[Key, tuple[int, str]] = {}
    for key, ticks, name in (*_bus_rules(config), *_timing_rules(config)):
        if ticks > rules.get(key, (0, ""))[0]:
            rules[key] = ticks, name
    return rules


def _timing_rules(config: DramConfig) -> list[tuple[Key, int, str]]:
    timing, standard = config.timing, config.timing.standard
    sizes = (config.channels, *config.sizes)
    found = []
    for rule in standard.rules:
        level = LEVELS.index(rule.level)
        if rule.others and sizes[level] == 1:
            continue
        cycles = value(rule.cycles, timing.cycles, standard.defaults)
        for before, after in _pairs(rule):
            ticks = cycles * standard.ticks_per_cycle
            ticks += standard.bus_ticks(before) - standard.bus_ticks(after)
            if ticks > MOST_TICKS:
                raise ValueError(f"`cycles` of {rule.cycles} must be at most {MOST_TICKS} ticks")
            key = (
                level,
                COMMANDS.index(before),
                COMMANDS.index(after),
                rule.window,
                int(rule.others),
            )
            found.append((key, ticks, rule.cycles))
    return found


def _pairs(rule: Rule) -> list[tuple[str, str]]:
    return [(before, after) for before in rule.before for after in rule.after]


def _bus_rules(config: DramConfig) -> list[tuple[Key, int, str]]:
    """A command longer than a tick keeps its bus from every other. The core sends one each tick.

    Where both start with a clock cycle and the first is no longer than one, there is none.
    """
    standard = config.timing.standard
    within = [
        name
        for name in COMMANDS
        if name not in standard.falling_edge
        and standard.bus_ticks(name) <= standard.ticks_per_cycle
    ]
    buses = (
        [COMMANDS]
        if standard.shared_bus
        else [COLUMN_COMMANDS, tuple(name for name in COMMANDS if name not in COLUMN_COMMANDS)]
    )
    return [
        ((0, COMMANDS.index(before), COMMANDS.index(after), 1, 0), ticks, "bus")
        for bus in buses
        for before in bus
        if (ticks := standard.bus_ticks(before)) > 1
        for after in bus
        if before not in within or after in standard.falling_edge
    ]
