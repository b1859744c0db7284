"""From a config to the arrays that the memory core runs on, in ticks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .dram import AS_ONE_BANK, COMMANDS, HOST_COMMANDS, LEVELS, DramConfig, Rule
from .dram_terms import value
from .gang import Gang

COLUMN_COMMANDS = ("RD", "WR", "RDA", "WRA")
BANK = LEVELS.index("bank")
WHOLE = {COMMANDS.index("PREA"), COMMANDS.index("REF")}
"""Commands to all banks of a rank."""
MOST_REFRESH_TICKS = 1 << 30
MOST_TICKS = (1 << 24) - 1
"""Of a rule, in the memory core."""


@dataclass(frozen=True, eq=False)
class DramTables:
    """One channel of a memory in ticks: a clock cycle, or half of one (`ticks_per_cycle` 2).

    sizes int32[4]: ranks or pseudo channels, stack ids, bank groups, banks. rising bool[12]: the
    commands, in the order of COMMANDS, that start on whole cycles only.
    rules int32[n, 6]: level, before, after, ticks, window, others; named by `rule_names`.
    read_ticks, write_ticks: from the command's start to the end of its data. refresh_ticks and
    refresh_bank_ticks: between two REF, two REFP (0: none) of a rank or pseudo channel.
    refresh_together: banks that one REFP refreshes; every bank-level rule holds for each of them.
    gang: the banks that a unit takes together; every rule of its commands holds for each of them.
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
    gang: Gang | None


def dram_tables(config: DramConfig, gang: Gang | None = None) -> DramTables:
    """The tables of a config, and of units that take gangs of its banks.

    Raises BadInput where a rule asks for a timing that the set lacks, or a gang does not fit.
    """
    try:
        rules = _rules(config, gang)
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
        rising=np.array([not standard.falls(name) for name in COMMANDS], np.bool_),
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
        gang=gang,
    )


Key = tuple[int, int, int, int, int]
"""level, before, after, window, others."""
Found = tuple[Key, int, str]
"""A rule, its ticks and its name."""


def _rules(config: DramConfig, gang: Gang | None) -> dict[Key, tuple[int, str]]:
    """The strictest rule of each key, with its ticks and name. Those that ask nothing are left out.

    Timings are between the last cycles of two commands, ticks between their first.
    """
    rules: dict[Key, tuple[int, str]] = {}
    found = [*_bus_rules(config), *_timing_rules(config)]
    if gang is not None:
        found += _gang_rules(config, gang, found)
    for key, ticks, name in found:
        if ticks > rules.get(key, (0, ""))[0]:
            rules[key] = ticks, name
    return rules


def _timing_rules(config: DramConfig) -> list[Found]:
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


def _bus_rules(config: DramConfig) -> list[Found]:
    """A command longer than a tick keeps its bus from every other. The core sends one each tick.

    Where both start with a clock cycle and the first is no longer than one, there is none.
    """
    standard = config.timing.standard
    rows = tuple(name for name in HOST_COMMANDS if name not in COLUMN_COMMANDS)
    buses = [HOST_COMMANDS] if standard.shared_bus else [COLUMN_COMMANDS, rows]
    return [rule for bus in buses for rule in _apart(config, "channel", bus)]


def _apart(config: DramConfig, level: str, bus: tuple[str, ...]) -> list[Found]:
    """What the commands of one bus ask of each other, in one unit of the level."""
    standard = config.timing.standard
    return [
        ((LEVELS.index(level), COMMANDS.index(before), COMMANDS.index(after), 1, 0), ticks, "bus")
        for before in bus
        if (ticks := standard.bus_ticks(before)) > 1
        for after in bus
        if standard.falls(before) or ticks > standard.ticks_per_cycle or standard.falls(after)
    ]


def _gang_rules(config: DramConfig, gang: Gang, host: list[Found]) -> list[Found]:
    """What holds for gang commands: at each bank what holds for ACT, RD and PRE of it, and beside
    commands to all banks. tRRD, tFAW, tPPD and tRREFD, which keep banks apart, do not.
    """
    gang.count_in(config)
    return [
        *_at_each_bank(host),
        *_given_up(config),
        *_gang_reads(config, gang),
        *_gang_buses(config, gang),
    ]


def _at_each_bank(host: list[Found]) -> list[Found]:
    return [
        ((level, one, other, window, others), ticks, name)
        for (level, before, after, window, others), ticks, name in host
        if name != "bus" and window == 1 and (level == BANK or {before, after} & WHOLE)
        for one in _with_gangs(before)
        for other in _with_gangs(after)
        if (one, other) != (before, after)
    ]


def _given_up(config: DramConfig) -> list[Found]:
    """A row may be closed before all its banks are open, one of them being refreshed still."""
    timing, standard = config.timing, config.timing.standard
    if standard.refresh_together is None:
        return []
    ticks = timing["tRFCpb"] * standard.ticks_per_cycle
    ticks += standard.bus_ticks("REFP") - standard.bus_ticks("PREG")
    return [((BANK, COMMANDS.index("REFP"), COMMANDS.index("PREG"), 1, 0), ticks, "tRFCpb")]


def _gang_reads(config: DramConfig, gang: Gang) -> list[Found]:
    """From one to the next, and to the host's on the data path of a bank group."""
    per, read = config.timing.standard.ticks_per_cycle, COMMANDS.index("RDG")
    rank, group = LEVELS.index("rank"), LEVELS.index("bank_group")
    found = [((rank, read, read, 1, 0), per * gang.read_cycles_of(config), gang.read_cycles)]
    if gang.shares_group:
        found += [
            ((group, *pair, 1, 0), per * config.timing["tCCDL"], "tCCDL")
            for command in map(COMMANDS.index, COLUMN_COMMANDS)
            for pair in ((command, read), (read, command))
        ]
    return found


def _with_gangs(command: int) -> list[int]:
    """The command, and the one to a gang that is the same to one bank."""
    name = COMMANDS[command]
    return [command, *(COMMANDS.index(g) for g, one in AS_ONE_BANK.items() if one == name)]


def _gang_buses(config: DramConfig, gang: Gang) -> list[Found]:
    """Of a pseudo channel's own buses, or of the channel's with the host's commands on them."""
    shared = config.timing.standard.shared_bus
    rows, reads = ("ACTG", "PREG"), ("RDG",)
    if gang.own_bus:
        return _apart(config, "rank", rows) + _apart(config, "rank", reads)
    host_rows = tuple(name for name in HOST_COMMANDS if name not in COLUMN_COMMANDS)
    buses = [COMMANDS] if shared else [(*COLUMN_COMMANDS, *reads), (*host_rows, *rows)]
    return [rule for bus in buses for rule in _apart(config, "channel", bus)]
