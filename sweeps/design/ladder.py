"""Multi-fidelity: all points at the bound, few more closely, the front by the serving simulation.

Nothing runs faster than its bound. A point whose bound another point beats *as simulated* is
therefore not on the simulated front, and need not be simulated: when no other is left, the front is
proven to be that of all points. Goals and objectives that may come out better than at the bound
rule nothing out (see `monotone`). The roofline runs each operator on the faster unit of a processor
with PIM; where both share it, the time is at least half of that (derived: with times a <= b alone,
a share costs a b / (a + b) >= a / 2), which is then the bound.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from .finer import closest
from .monotone import falling_goals, loose
from .pareto import front
from .space import NAMES_OF_MACHINES, Space
from .standing import Standing, judged, no_rows
from .words import system_of

Ints = NDArray[np.int64]

ROUND = 128
"""Points looked at more closely between two looks at who is left; the same for any workers."""


class Rounds(Protocol):
    """Evaluates points, or reads them where an earlier run has: `sweeps.design.run.Runner`."""

    def round(self, stage: str, name: str, points: Ints, detail: str) -> Columns:
        """The rows of the points, ascending."""
        ...


class Closer(msgspec.Struct, frozen=True, kw_only=True):
    """What the finer look found. rows: of the points looked at; standing: of these; open: points
    whose bound nobody beats and that were not looked at (0: the front is proven); faster: points
    that came out below their own bound, on which the proof would not hold; loose: objectives that
    the bound does not bound, with which only a look at every point proves anything."""

    rows: Columns
    standing: Standing
    open: int
    faster: int
    loose: tuple[str, ...] = ()


def floor(space: Space, rows: Columns) -> Standing:
    """The standing of rows at the bound, had each the least times that a closer look may find; with
    those goals alone that a point which misses them here misses there too."""
    shared = _shared(space, rows)
    halved = {name: np.where(shared, rows[name] / 2, rows[name]) for name in _TIMES & rows.keys()}
    halved |= {name: np.where(shared, rows[name] * 2, rows[name]) for name in _RATES & rows.keys()}
    return judged(space, rows | halved, [space.goals[i] for i in falling_goals(space)])


_TIMES = frozenset(("tpot_s", "ttft_s", "cost_usd_per_token"))
_RATES = frozenset(("throughput_tokens_per_s", "device_tokens_per_s"))


def _shared(space: Space, rows: Columns) -> NDArray[np.bool_]:
    """Which rows are of machines that a closer look lets two units share."""
    found = np.zeros(rows["point"].size, np.bool_)
    for name in NAMES_OF_MACHINES:
        if name in rows:
            names, place = np.unique(rows[name], return_inverse=True)
            found |= np.array([_is_shared(name, one, space) for one in names.tolist()])[place]
    return found


def _is_shared(word: str, name: str, space: Space) -> bool:
    try:
        return bool(name) and closest(system_of({word: name}, space.here)) == "cycle"
    except BadInput:  # no machine: its rows say so
        return False


def closer(space: Space, bound: Standing, rounds: Rounds) -> Closer:
    """Looks at points more closely, the best bounds first, until none is left or the budget of
    `space.file.finer` is spent. bound: the `floor` of all points."""
    asked = space.file.finer
    assert asked is not None
    seen: list[Columns] = []
    looked = np.zeros(bound.point.size, np.bool_)
    open_ = bound.meets.copy()
    while open_.any() and (left := asked.most - int(looked.sum())) > 0:
        chosen = _next(bound, open_, min(left, ROUND))
        looked[chosen] = True
        points = bound.point[chosen]
        seen.append(rounds.round("finer", f"{len(seen):05d}", points, asked.detail))
        open_ = _open(space, bound, looked, judged(space, joined(seen)))
    return seen_closer(space, bound, joined(seen) or no_rows(space))


def seen_closer(space: Space, bound: Standing, rows: Columns) -> Closer:
    """What is known once these rows were looked at more closely. bound: the `floor` of all."""
    standing = judged(space, rows)
    open_ = _open(space, bound, np.isin(bound.point, rows["point"]), standing)
    return Closer(
        rows=rows,
        standing=standing,
        open=int(open_.sum()),
        faster=_faster(space, bound, standing),
        loose=tuple(loose(space)),
    )


def _next(bound: Standing, open_: NDArray[np.bool_], most: int) -> Ints:
    """Rows of the fronts of the open bounds, layer by layer, group by group; ascending."""
    chosen: list[int] = []
    rest = open_.copy()
    while len(chosen) < most and rest.any():
        layer = [
            rows[front(bound.values[rows])]
            for number in range(len(bound.groups))
            if (rows := np.flatnonzero(rest & (bound.group == number))).size
        ]
        # One of each group in turn, so that a budget is spent on all of them.
        turns = np.concatenate([np.arange(rows.size) for rows in layer])
        every = np.concatenate(layer)[np.argsort(turns, kind="stable")]
        chosen += every[: most - len(chosen)].tolist()
        rest[every] = False
    return np.sort(np.array(chosen, np.int64))


def _open(
    space: Space, bound: Standing, looked: NDArray[np.bool_], found: Standing
) -> NDArray[np.bool_]:
    """Rows not looked at whose bound no simulated point of their group dominates; all of them where
    an objective may come out better than its bound."""
    from .dominance import survivors

    open_ = bound.meets & ~looked
    if loose(space):
        return open_
    for number, group in enumerate(bound.groups):
        rows = np.flatnonzero(open_ & (bound.group == number))
        if group not in found.groups:
            continue
        best = np.flatnonzero(found.front() & (found.group == found.groups.index(group)))
        if rows.size and best.size:
            open_[rows] = survivors(bound.values[rows], found.values[best])
    return open_


def _faster(space: Space, bound: Standing, found: Standing) -> int:
    """Points that are better than their bound in an objective that it does bound."""
    held = [name not in loose(space) for name, _ in space.objectives]
    least = bound.values[np.searchsorted(bound.point, found.point)]
    slack = 1e-9 * np.abs(least)
    return int((found.values < least - slack)[:, held].any(axis=1).sum())


def joined(parts: list[Columns]) -> Columns:
    """Rows of several rounds as one, by ascending point."""
    if not parts:
        return {}
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(whole["point"], kind="stable")
    return {name: column[order] for name, column in whole.items()}


def served(space: Space, best: Standing, rounds: Rounds) -> Columns:
    """The front of `best` through the serving simulation; of a front with more points than asked
    for, those that lie farthest apart."""
    asked = space.file.served
    assert asked is not None
    rows = apart(best, np.flatnonzero(best.front()), asked.most)
    return rounds.round("served", "front", best.point[rows], "served")


def apart(standing: Standing, rows: Ints, most: int) -> Ints:
    """Of rows the `most` that lie farthest apart: first the knee-most of each group, then always
    the one farthest from all chosen, in shares of the ranges (Gonzalez, TCS 1985); ascending."""
    if rows.size <= most:
        return rows
    values = standing.values[rows]
    spread = np.ptp(values, axis=0)
    place = (values - values.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    chosen = [int(np.argmin(place.sum(axis=1)))]
    gap = np.full(rows.size, np.inf)
    while len(chosen) < most:
        gap = np.minimum(gap, np.abs(place - place[chosen[-1]]).max(axis=1))
        gap[chosen] = -1.0
        chosen.append(int(np.argmax(gap)))
    return np.sort(rows[chosen])
