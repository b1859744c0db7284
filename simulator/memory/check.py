"""The independent checker: recorded commands of a memory against rules of its own.

A command counts one violation for each earlier kind of command that it follows too soon; of each
kind the latest counts, so a violation is one command too early and not every pair inside a burst.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang
from .check_rules import (
    ACT,
    ACTG,
    COMMANDS,
    MOST_POSTPONED,
    RANK,
    READS,
    SENT_AS,
    TOGETHER,
    WRITES,
    Device,
    Rule,
    cycles_of,
    rows_of,
    rules_of,
)  # fmt: skip
from .check_seen import Facts, Found, remembered
from .check_words import (
    COLUMN_BUS,
    EDGE,
    GANG_CLOSE,
    GANG_COLUMN_BUS,
    GANG_LEFT,
    GANG_ROW_BUS,
    GANG_STATE,
    RANK_SWITCH,
    REFRESH_GAP,
    REFRESH_MEAN,
    ROW_BUS,
    SINGLES,
    in_words,
)  # fmt: skip

LEVELS: dict[str, int] = {"all-bank": RANK, "per-bank": TOGETHER, "off": -1}
MOST_TICKS = 2**60


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. times: commands that it was put to. slack_ticks: how much later than asked the
    tightest of them came, or than the first edge that it may use (0: met tightly, None: never put
    to the test). first: the first violation."""

    name: str
    scope: str
    times: int
    violations: int
    slack_ticks: int | None
    first: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the checker found; largest_refresh_gap_ticks: None where refresh is off."""

    config: str
    commands: int
    rules: tuple[Checked, ...]
    largest_refresh_gap_ticks: int | None = None

    @property
    def ok(self) -> bool:
        return not any(rule.violations for rule in self.rules)

    def __getitem__(self, name: str) -> Checked:
        return next(rule for rule in self.rules if rule.name == name)

    def table(self) -> str:
        """One line for each rule; then the first violation of each."""
        head = ("rule", "scope", "times", "violations", "slack")
        rows = [
            (r.name, r.scope, str(r.times), str(r.violations), str(_shown(r.slack_ticks)))
            for r in self.rules
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(
                text.ljust(width) if i < 2 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (head, *rows)
        ]
        return "\n".join([*lines, *(f"{r.name}: {r.first}" for r in self.rules if r.first)])


def _shown(slack: int | None) -> int | str:
    return "-" if slack is None else slack


def check_commands(
    config: DramConfig,
    tick: ArrayLike,
    channel: ArrayLike,
    command: ArrayLike,
    bank: ArrayLike,
    row: ArrayLike,
    *,
    refresh: str = "all-bank",
    gang: Gang | None = None,
) -> Report:
    """The report on recorded commands, in time order within each channel.

    tick, channel, command (index into `COMMANDS`), bank (flat in its channel; any bank of the rank
    for PREA and REF, of the gang for gang commands), row (that of RD, WR and RDG too; -1: not
    recorded) [n]. gang: the banks that its commands go to. Ticks count from 0, where the first
    interval of refresh begins. Raises BadInput on arrays that are no such record.
    """
    from .check_walk import walk

    if refresh not in LEVELS:
        raise BadInput(f"must be one of {', '.join(LEVELS)}", key="refresh", value=refresh)
    device = Device.of(config, gang)
    arrays = _columns(device, tick, channel, command, bank, row)
    rules, singles = rules_of(device), _singles(device, refresh)
    facts = facts_of(device, rules, refresh)
    count = len(rules) + len(SINGLES)
    found = Found(*(np.zeros(count, np.int64) for _ in range(6)))
    found.slack[:] = MOST_TICKS
    back = walk(facts, remembered(facts, device.channels), found, *arrays)
    if back >= 0:
        raise BadInput(
            "time goes backwards in its channel", key=f"tick[{back}]", value=int(arrays[0][back])
        )
    said = in_words(device, rules, facts, found, arrays)
    named = [(i, rule.name, rule.scope) for i, rule in enumerate(rules)]
    named += [(len(rules) + i, name, scope) for i, name, scope in singles]
    gap = None
    if facts.refresh >= 0 and arrays[0].size:
        gap = facts.interval + facts.late - int(found.slack[len(rules) + REFRESH_GAP])
    return Report(
        config=device.name,
        commands=int(arrays[0].size),
        rules=tuple(_checked(found, i, name, scope, said) for i, name, scope in named),
        largest_refresh_gap_ticks=gap,
    )


def _checked(found: Found, i: int, name: str, scope: str, said: dict[int, str]) -> Checked:
    times = int(found.times[i])
    return Checked(
        name=name,
        scope=scope,
        times=times,
        violations=int(found.violations[i]),
        slack_ticks=int(found.slack[i]) if times else None,
        first=said.get(i, ""),
    )


def _singles(device: Device, refresh: str) -> list[tuple[int, str, str]]:
    """Those rules beside the pairs that the device has: (number, name, scope)."""
    absent = set()
    if not device.wires.split:
        absent.add(COLUMN_BUS)
    if device.ticks_per_cycle == 1:
        absent.add(EDGE)
    if not _switch(device):
        absent.add(RANK_SWITCH)
    if refresh == "off":
        absent |= {REFRESH_GAP, REFRESH_MEAN}
    if device.gang is None:
        absent |= {GANG_STATE, GANG_LEFT, GANG_CLOSE}
    if device.gang is None or not device.gang.own_bus:
        absent |= {GANG_ROW_BUS, GANG_COLUMN_BUS}
    named = dict(SINGLES)
    if not device.wires.split:
        named[ROW_BUS] = ("command bus", "channel")
    return [(i, *names) for i, names in named.items() if i not in absent]


def _switch(device: Device) -> int:
    """Ticks between bursts of two ranks on one bus."""
    if device.wires.pseudo or device.sizes[0] == 1:
        return 0
    return cycles_of(device, "tCS") * device.ticks_per_cycle


def facts_of(device: Device, rules: Sequence[Rule], refresh: str) -> Facts:
    """The device as the walk reads it."""

    per, rows = device.ticks_per_cycle, rows_of(device, list(rules))
    unit = np.array(
        [[device.unit(level, b) for level in range(5)] for b in range(device.banks)], np.int64
    )
    base = np.concatenate([[0], np.cumsum(unit.max(axis=0) + 1)[:-1]])
    wires = device.wires
    every = range(len(COMMANDS))
    column = np.array([SENT_AS.get(c, c) in (*READS, *WRITES) for c in every])
    data = [cycles_of(device, "tCWL" if c in WRITES else "tCL") * per for c in every]
    gangs = [()] if device.gang is None else [device.together_with(b) for b in range(len(unit))]
    interval = cycles_of(device, "tREFI") * per if refresh != "off" else 0
    return Facts(
        rows=rows,
        first=np.searchsorted(rows[:, 2], np.arange(len(COMMANDS) + 1)),
        unit=unit + base,
        base=base,
        stacks=device.sizes[1],
        span=device.span(RANK),
        sets=device.span(RANK) // device.together,
        hold=np.array([device.occupancy(c) for c in every], np.int64),
        bus=(column & wires.split).astype(np.int64),
        falls=np.array([SENT_AS.get(c, c) in wires.falling for c in every]),
        data=np.array(data, np.int64),
        four=cycles_of(device, "tFAW") * per,
        burst=cycles_of(device, "burst_cycles") * per,
        switch=_switch(device),
        own_data=wires.pseudo,
        ticks_per_cycle=per,
        pairs=len(rules),
        refresh=LEVELS[refresh],
        interval=interval,
        late=MOST_POSTPONED * interval,
        members=np.array(gangs, np.int64),
        own_bus=device.gang is not None and device.gang.own_bus,
        broadcast=device.gang is not None and device.gang.broadcast,
    )


def _columns(device: Device, *given: ArrayLike) -> tuple[NDArray[Any], ...]:
    """tick, channel, command, bank, row as the walk reads them, each in its range."""
    names = ("tick", "channel", "command", "bank", "row")
    kinds = (np.int64, np.int32, np.int8, np.int32, np.int32)
    least = (0, 0, 0, 0, -1)
    beyond = (MOST_TICKS, device.channels, len(COMMANDS), device.banks, device.rows)
    columns = []
    for name, values, kind, low, high in zip(names, given, kinds, least, beyond, strict=True):
        array = np.asarray(values)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise BadInput("must be whole numbers, one for each command", key=name)
        if array.size and not low <= int(array.min()) <= int(array.max()) < high:
            at = int(np.argmax((array < low) | (array >= high)))
            raise BadInput(
                f"must lie in {low}..{high - 1}", key=f"{name}[{at}]", value=int(array[at])
            )
        columns.append(np.ascontiguousarray(array, kind))
    sizes = {name: column.size for name, column in zip(names, columns, strict=True)}
    if len(set(sizes.values())) > 1:
        raise BadInput(f"the arrays of commands differ in length: {sizes}", key="commands")
    if device.gang is None and (columns[2] >= ACTG).any():
        raise BadInput(
            "are gang commands; say which banks a gang has",
            key=f"command[{int(np.argmax(columns[2] >= ACTG))}]",
        )
    opened = np.isin(columns[2], (ACT, ACTG)) & (columns[4] < 0)
    if opened.any():
        raise BadInput(
            "an ACT names the row that it opens",
            key=f"row[{int(np.argmax(opened))}]",
            value=-1,
        )
    return tuple(columns)
