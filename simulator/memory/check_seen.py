"""What the walk of the checker is told, and what it keeps of the commands that it has passed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .check_rules import RANK, TOGETHER

NEVER = -(1 << 62)
CLOSED = -1


class Facts(NamedTuple):
    """The device in ticks. rows: of `rows_of`; first [13]: where the rows of each command start.
    unit [banks, 5]: the unit of each level that a bank lies in, numbered through; base [5]: the
    first of a level. stacks, span, sets: stack ids, banks, sets refreshed together, of a rank.
    hold, bus, falls [12]: ticks on the command bus, which bus, may start on a falling edge. data
    [12]: from a command to its first data. burst, switch: ticks of a burst, between ranks.
    own_data: a data bus for each unit of rank level. pairs: rules before the single ones. refresh:
    the level whose units are refreshed, or -1; interval: tREFI; late: ticks that refreshes may be
    behind. members [banks, of a gang]: the banks of each bank's gang; own_bus: whether gang
    commands have a row and a column bus of their own; broadcast: whether ACTG opens gangs."""

    rows: Any
    first: Any
    unit: Any
    base: Any
    stacks: int
    span: int
    sets: int
    hold: Any
    bus: Any
    falls: Any
    data: Any
    four: int
    burst: int
    switch: int
    own_data: bool
    ticks_per_cycle: int
    pairs: int
    refresh: int
    interval: int
    late: int
    members: Any
    own_bus: bool
    broadcast: bool


class Seen(NamedTuple):
    """What the walk remembers, by channel: last tick of each command [channel, unit, 12], the last
    four activates of each rank and where the oldest stands, open row of each bank, whether a gang
    opened it, open banks by unit, ends of bursts by bus and by rank, ticks at which buses fall free
    (the channel's two, then two of each rank for gangs), refreshes, the time."""

    last: Any
    four: Any
    oldest: Any
    row: Any
    gang: Any
    open: Any
    data: Any
    ends: Any
    bus: Any
    refreshed: Any
    refreshes: Any
    now: Any


class Found(NamedTuple):
    """By rule: violations, times exercised, least slack; of the first violation the command (-1:
    the end of the commands), its slack, and which: a row of `rows_of`, or a refreshed unit,
    numbered through the channels."""

    violations: Any
    times: Any
    slack: Any
    index: Any
    short: Any
    which: Any


def remembered(facts: Facts, channels: int) -> Seen:
    """The state before the first command: all closed, nothing seen, time 0."""
    banks, units = facts.unit.shape[0], int(facts.unit.max()) + 1
    ranks = banks // facts.span
    refreshed = {RANK: ranks, TOGETHER: ranks * facts.sets}.get(facts.refresh, 0)

    def full(value: int, *shape: int) -> NDArray[np.int64]:
        return np.full((channels, *shape), value, np.int64)

    return Seen(
        last=full(NEVER, units, 12), four=full(NEVER, ranks, 4), oldest=full(0, ranks),
        row=full(CLOSED, banks), gang=full(0, banks), open=full(0, units),
        data=full(NEVER, ranks), ends=full(NEVER, ranks),
        bus=full(NEVER, 2 + 2 * ranks), now=full(0),
        refreshed=full(0, refreshed), refreshes=full(0, refreshed),
    )  # fmt: skip
