"""Multi-fidelity: all points at the bound, few more closely, the front by the serving simulation.

Nothing runs faster than its bound. A point whose bound another point beats *as simulated* is
therefore not on the simulated front, and need not be simulated: when no other is left, the front is
proven to be that of all points. Goals and objectives that may come out better than at the bound
rule nothing out (see `monotone`), and so do bounds of processors with PIM, whose two units share
operators under a closer look: all of these that may win are looked at.
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


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What the bound says of all points. standing: with those goals alone that a point which misses
    them here misses under a closer look too; sure `[rows]`: whose values no closer look can better.
    """

    standing: Standing
    sure: NDArray[np.bool_]


def floor(space: Space, rows: Columns) -> Floor:
    """The floor of rows at the bound. A closer look lets the two units of a processor with PIM
    share an operator, which the roofline does not: nothing is sure of these."""
    goals = [space.goals[i] for i in falling_goals(space)]
    sure = np.full(rows["point"].size, not loose(space))
    for name in NAMES_OF_MACHINES:
        if name in rows:
            names, place = np.unique(rows[name], return_inverse=True)
            shared = [_is_shared(name, one, space) for one in names.tolist()]
            sure &= ~np.array(shared, np.bool_)[place]
    return Floor(standing=judged(space, rows, goals), sure=sure)


def _is_shared(word: str, name: str, space: Space) -> bool:
    try:
        return bool(name) and closest(system_of({word: name}, space.here)) == "cycle"
    except BadInput:  # no machine: its rows say so
        return False


def closer(space: Space, floor: Floor, rounds: Rounds) -> Closer:
    """Looks at points more closely, the best bounds first, until none is left or the budget of
    `space.file.finer` is spent. floor: of all points."""
    asked, bound = space.file.finer, floor.standing
    assert asked is not None
    seen: list[Columns] = []
    looked = np.zeros(bound.point.size, np.bool_)
    open_ = bound.meets.copy()
    while open_.any() and (left := asked.most - int(looked.sum())) > 0:
        chosen = _next(bound, open_, min(left, ROUND))
        looked[chosen] = True
        points = bound.point[chosen]
        seen.append(rounds.round("finer", f"{len(seen):05d}", points, asked.detail))
        open_ = _open(floor, looked, judged(space, joined(seen)))
    return seen_closer(space, floor, joined(seen) or no_rows(space))


def seen_closer(space: Space, floor: Floor, rows: Columns) -> Closer:
    """What is known once these rows were looked at more closely. floor: of all points."""
    standing = judged(space, rows)
    looked = np.isin(floor.standing.point, rows["point"])
    return Closer(
        rows=rows,
        standing=standing,
        open=int(_open(floor, looked, standing).sum()),
        faster=_faster(floor, standing),
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


def _open(floor: Floor, looked: NDArray[np.bool_], found: Standing) -> NDArray[np.bool_]:
    """Rows not looked at of which no simulated point of their group dominates a sure bound."""
    from .dominance import survivors

    bound = floor.standing
    open_ = bound.meets & ~looked
    front = found.front()
    for number, group in enumerate(bound.groups):
        rows = np.flatnonzero(open_ & floor.sure & (bound.group == number))
        if not rows.size or group not in found.groups:
            continue
        best = np.flatnonzero(front & (found.group == found.groups.index(group)))
        if best.size:
            open_[rows] = survivors(bound.values[rows], found.values[best])
    return open_


def _faster(floor: Floor, found: Standing) -> int:
    """Points that came out better than a sure bound."""
    at = np.searchsorted(floor.standing.point, found.point)
    least = floor.standing.values[at]
    slack = 1e-9 * np.abs(least)
    return int(((found.values < least - slack).any(axis=1) & floor.sure[at]).sum())


def joined(parts: list[Columns]) -> Columns:
    """Rows of several rounds as one, by ascending point."""
    if not parts:
        return {}
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(whole["point"], kind="stable")
    return {name: column[order] for name, column in whole.items()}


def served(space: Space, best: Standing, rounds: Rounds) -> Columns:
    """The front of `best` through the serving simulation, its stages at the level of the closer
    look; of a front with more points than asked for, those that lie farthest apart."""
    asked = space.file.served
    assert asked is not None
    rows = apart(best, np.flatnonzero(best.front()), asked.most)
    cycles = space.file.finer is not None and space.file.finer.detail == "cycle"
    return rounds.round("served", "front", best.point[rows], "served-cycle" if cycles else "served")


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
