"""The compiled walk of `check`: one pass over the commands of all channels, last ticks in arrays.

Stands on numba and is opened on demand. Ticks of pair rules are those of a command's last cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

from .check_rules import (
    ACT,
    ACTG,
    PRE,
    PREA,
    PREG,
    RANK,
    RD,
    RDA,
    RDG,
    REF,
    REFP,
    STACK,
    TOGETHER,
    WR,
    WRA,
)  # fmt: skip
from .check_seen import CLOSED, NEVER, Facts, Found, Seen
from .check_words import (
    COLUMN_ROW,
    COLUMN_STATE,
    DATA_BUS,
    EDGE,
    FOUR_ACTIVATES,
    GANG_CLOSE,
    GANG_LEFT,
    GANG_ROW_BUS,
    GANG_STATE,
    RANK_SWITCH,
    REFRESH_GAP,
    REFRESH_MEAN,
    REFRESH_STATE,
    ROW_BUS,
    ROW_STATE,
)  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])


OPTIONS: dict[str, Any] = {"cache": True, "forceinline": True, "_nrt": False}
"""Nothing here allocates: arrays whose references nobody counts make the walk ten times as fast."""


def compiled(function: F) -> F:
    """The function compiled at its first call; the result is kept on disk."""
    return cast(F, njit(**OPTIONS)(function))


@compiled
def _note(found: Found, rule: int, slack: int, k: int, which: int) -> None:
    found.times[rule] += 1
    found.slack[rule] = min(found.slack[rule], slack)
    if slack < 0:
        if found.violations[rule] == 0:
            found.index[rule], found.short[rule], found.which[rule] = k, slack, which
        found.violations[rule] += 1


@compiled
def _timed(facts: Facts, found: Found, rule: int, late: int, k: int, what: int, which: int) -> None:
    """A command that comes `late` ticks after it may; waiting for the edge that it needs is no
    slack."""
    if late > 0 and not facts.falls[what]:
        late -= late % facts.ticks_per_cycle
    _note(found, rule, late, k, which)


@compiled
def _state(found: Found, rule: int, holds: bool, k: int) -> None:
    """A rule without ticks: slack 0 where it holds."""
    _note(found, rule, 0 if holds else -1, k, -1)


@compiled
def _pairs(
    facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int, first: bool
) -> None:
    """first: of the banks of its gang, which meet rules of a rank once."""
    rows, last = facts.rows, seen.last
    heard = seen.now[c] + facts.hold[command] - 1
    for r in range(facts.first[command], facts.first[command + 1]):
        before, level = rows[r, 1], rows[r, 3]
        if level == RANK and not first:
            continue
        if rows[r, 4] == 0:
            then = last[c, facts.unit[b, level], before]
        else:
            then = NEVER
            start = facts.base[STACK] + facts.unit[b, RANK] * facts.stacks
            for stack in range(start, start + facts.stacks):
                if stack != facts.unit[b, STACK]:
                    then = max(then, last[c, stack, before])
        if then != NEVER:
            _timed(facts, found, rows[r, 0], heard - then - rows[r, 5], k, command, r)
    if command == ACT:
        rank = facts.unit[b, RANK]
        then = seen.four[c, rank, seen.oldest[c, rank]]
        if then != NEVER:
            late = heard - then - facts.four
            _timed(facts, found, facts.pairs + FOUR_ACTIVATES, late, k, command, -1)


@compiled
def _remember(facts: Facts, seen: Seen, c: int, command: int, b: int) -> None:
    heard = seen.now[c] + facts.hold[command] - 1
    for level in range(5):
        seen.last[c, facts.unit[b, level], command] = heard
    if command == ACT:
        rank = facts.unit[b, RANK]
        at = seen.oldest[c, rank]
        seen.four[c, rank, at] = heard
        seen.oldest[c, rank] = (at + 1) % 4


@compiled
def _buses(facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int) -> None:
    bus, tick = facts.bus[command], seen.now[c]
    rule = facts.pairs + ROW_BUS + bus
    if command >= ACTG and facts.own_bus:
        bus = 1 if command == RDG else 0  # whatever the host shares
        rule = facts.pairs + GANG_ROW_BUS + bus
        bus += 2 + 2 * facts.unit[b, RANK]
    free = seen.bus[c, bus]
    if free != NEVER:
        _timed(facts, found, rule, tick - free, k, command, -1)
    seen.bus[c, bus] = max(free, tick + facts.hold[command])
    if facts.ticks_per_cycle > 1 and not facts.falls[command]:
        _state(found, facts.pairs + EDGE, tick % facts.ticks_per_cycle == 0, k)


@compiled
def _bursts(facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int) -> None:
    """Bursts of one data bus come in the order of their commands and never at once; those of two
    ranks leave the bus tCS between them."""
    start, rank = seen.now[c] + facts.data[command], facts.unit[b, RANK]
    bus = rank if facts.own_data else 0
    if seen.data[c, bus] != NEVER:
        _note(found, facts.pairs + DATA_BUS, start - seen.data[c, bus], k, -1)
    if facts.switch > 0:
        other = NEVER
        for r in range(seen.ends.shape[1]):
            if r != rank:
                other = max(other, seen.ends[c, r])
        if other != NEVER:
            _note(found, facts.pairs + RANK_SWITCH, start - other - facts.switch, k, -1)
    end = start + facts.burst
    seen.data[c, bus] = max(seen.data[c, bus], end)
    seen.ends[c, rank] = max(seen.ends[c, rank], end)


@compiled
def _open_close(
    facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int, row: int
) -> None:
    """Which rows are open, and what a command may find open."""
    base = facts.pairs
    if command == ACT:
        _state(found, base + ROW_STATE, seen.row[c, b] == CLOSED, k)
        if seen.row[c, b] == CLOSED:
            _count(facts, seen, c, b, 1)
        seen.row[c, b] = row
    elif command == PREA:
        start, left = facts.unit[b, RANK] * facts.span, True
        for bank in range(start, start + facts.span):
            left = left and seen.gang[c, bank] == 0
            _close(facts, seen, c, bank)
        _state(found, base + GANG_LEFT, left, k)
    elif command == REF:
        _state(found, base + REFRESH_STATE, seen.open[c, facts.unit[b, RANK]] == 0, k)
    elif command == REFP:
        _state(found, base + REFRESH_STATE, seen.open[c, facts.unit[b, TOGETHER]] == 0, k)
    else:
        _state(found, base + GANG_LEFT, seen.gang[c, b] == 0, k)
        if command != PRE:
            is_open = seen.row[c, b] != CLOSED
            _state(found, base + COLUMN_STATE, is_open, k)
            if is_open and row >= 0:
                _state(found, base + COLUMN_ROW, seen.row[c, b] == row, k)
        if command in (PRE, RDA, WRA):
            _close(facts, seen, c, b)


@compiled
def _gang_open_close(
    facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int, row: int
) -> None:
    """The same of every bank of a gang. RDG finds one row in all of them, whoever opened it. PREG
    finds all opened by ACTG; where ACTs open them, for a refresh not all, but one at least."""
    one, same, count = seen.row[c, b], seen.row[c, b] != CLOSED, facts.members.shape[1]
    opened = 0
    for i in range(count):
        m = facts.members[b, i]
        if command == ACTG:
            _state(found, facts.pairs + ROW_STATE, seen.row[c, m] == CLOSED, k)
            if seen.row[c, m] == CLOSED:
                _count(facts, seen, c, m, 1)
            seen.row[c, m] = row
            seen.gang[c, m] = 1
        elif command == PREG:
            opened += seen.gang[c, m] if facts.broadcast else int(seen.row[c, m] != CLOSED)
            _close(facts, seen, c, m)
        else:
            same = same and seen.row[c, m] == one
            if not facts.broadcast:
                seen.gang[c, m] = 1
    if command == PREG:
        least = count if facts.broadcast else 1
        _state(found, facts.pairs + GANG_CLOSE, opened >= least, k)
    if command == RDG:
        _state(found, facts.pairs + GANG_STATE, same and (row < 0 or one == row), k)


@compiled
def _close(facts: Facts, seen: Seen, c: int, b: int) -> None:
    seen.gang[c, b] = 0
    if seen.row[c, b] != CLOSED:
        seen.row[c, b] = CLOSED
        _count(facts, seen, c, b, -1)


@compiled
def _count(facts: Facts, seen: Seen, c: int, b: int, by: int) -> None:
    seen.open[c, facts.unit[b, RANK]] += by
    seen.open[c, facts.unit[b, TOGETHER]] += by


@compiled
def _refreshed(
    facts: Facts, seen: Seen, found: Found, k: int, c: int, unit: int, tick: int, done: int
) -> None:
    """A refresh of one unit, or the end of the commands (done 0): how long it waited, how far it is
    behind one refresh each interval."""
    base, which = facts.pairs, c * seen.refreshed.shape[1] + unit
    waited = tick - seen.refreshed[c, unit]
    _note(found, base + REFRESH_GAP, facts.interval + facts.late - waited, k, which)
    due = (seen.refreshes[c, unit] + 1) * facts.interval
    _note(found, base + REFRESH_MEAN, due + facts.late - tick, k, which)
    if done > 0:
        seen.refreshed[c, unit] = tick
        seen.refreshes[c, unit] += 1


@compiled
def _refresh(facts: Facts, seen: Seen, found: Found, k: int, c: int, command: int, b: int) -> None:
    tick, level = seen.now[c], facts.refresh
    if level == RANK and command == REF:
        _refreshed(facts, seen, found, k, c, facts.unit[b, RANK], tick, 1)
    elif level == TOGETHER and command == REFP:
        unit = facts.unit[b, TOGETHER] - facts.base[TOGETHER]
        _refreshed(facts, seen, found, k, c, unit, tick, 1)
    elif level == TOGETHER and command == REF:
        each = facts.sets
        first = facts.unit[b, RANK] * each
        for unit in range(first, first + each):
            _refreshed(facts, seen, found, k, c, unit, tick, 1)


@compiled
def walk(
    facts: Facts,
    seen: Seen,
    found: Found,
    tick: Any,
    channel: Any,
    command: Any,
    bank: Any,
    row: Any,
) -> int:
    """Fills `found`; returns the first command that goes back in time, or -1."""
    for k in range(tick.size):
        c, what, b = int(channel[k]), int(command[k]), int(bank[k])
        if tick[k] < seen.now[c]:
            return k
        seen.now[c] = tick[k]
        _buses(facts, seen, found, k, c, what, b)
        if what >= ACTG:
            for i in range(facts.members.shape[1]):
                _pairs(facts, seen, found, k, c, what, facts.members[b, i], i == 0)
            _gang_open_close(facts, seen, found, k, c, what, b, int(row[k]))
            for i in range(facts.members.shape[1]):
                _remember(facts, seen, c, what, facts.members[b, i])
            continue
        _pairs(facts, seen, found, k, c, what, b, True)
        _open_close(facts, seen, found, k, c, what, b, int(row[k]))
        if what in (RD, WR, RDA, WRA):
            _bursts(facts, seen, found, k, c, what, b)
        elif what in (REF, REFP):
            _refresh(facts, seen, found, k, c, what, b)
        _remember(facts, seen, c, what, b)
    if facts.refresh >= 0:
        for c in range(seen.now.size):
            busy = NEVER
            for bus in range(seen.bus.shape[1]):
                busy = max(busy, seen.bus[c, bus])
            if busy == NEVER:
                continue
            for unit in range(seen.refreshed.shape[1]):
                _refreshed(facts, seen, found, -1, c, unit, seen.now[c], 0)
    return -1
