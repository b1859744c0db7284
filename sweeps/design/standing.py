"""How evaluated points stand: what they give, which meet the goals, and who is on the front."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base.parquet import Columns
from .expressions import Expression
from .pareto import front
from .results import OK, RESULTS
from .space import Space

Ints = NDArray[np.int64]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Rows as a sweep judges them, in their order.

    point `[rows]`; values `[rows, objectives]`, all made small, NaN where unknown; meets `[rows]`:
    can be built, fits, meets every goal, and all its objectives are known; group `[rows]`: which
    of `groups`, the values of `by`, it is held against; missed: how many rows miss each goal.
    """

    point: Ints
    values: NDArray[np.float64]
    meets: NDArray[np.bool_]
    group: Ints
    groups: tuple[tuple[object, ...], ...]
    missed: Mapping[str, int]

    def front(self) -> NDArray[np.bool_]:
        """Which rows meet the goals and are dominated by no other of their group that does."""
        found = np.zeros(self.point.size, np.bool_)
        for number in range(len(self.groups)):
            rows = np.flatnonzero(self.meets & (self.group == number))
            found[rows[front(self.values[rows])]] = True
        return found


def judged(space: Space, rows: Columns, goals: Sequence[Expression] | None = None) -> Standing:
    """The standing of rows that hold at least `space.needed`. goals: in place of the space's."""
    rows = rows | space.derive(rows)
    columns = [sense * np.asarray(rows[name], np.float64) for name, sense in space.objectives]
    values = np.stack(columns, axis=1)
    meets = rows["status"] == OK
    missed = {"status": int((~meets).sum())}
    for goal in space.goals if goals is None else goals:
        held = np.asarray(np.broadcast_to(goal(rows), meets.shape), np.bool_)
        held = held & _known(rows, goal.names)
        missed[goal.text] = int((~held).sum())
        meets = meets & held
    known = np.isfinite(values)
    for (name, _), column in zip(space.objectives, known.T, strict=True):
        if lacking := int((meets & ~column).sum()):
            missed[f"{name} unknown"] = lacking
    group, groups = grouped(space, rows)
    return Standing(
        point=rows["point"],
        values=values,
        meets=np.asarray(meets & known.all(axis=1)),
        group=group,
        groups=groups,
        missed=missed,
    )


def no_rows(space: Space) -> Columns:
    """Every column, and no row."""
    none = np.zeros(0, np.int64)
    texts = {
        name: np.zeros(0, object if r.kind == "text" else float) for name, r in RESULTS.items()
    }
    rows = space.select(none) | texts
    return rows | space.derive(rows)


def _known(rows: Columns, names: Iterable[str]) -> NDArray[np.bool_]:
    """Which rows know every number of these: a goal holds on nothing that is unknown."""
    known = np.ones(rows["point"].size, np.bool_)
    for name in names:
        if rows[name].dtype != object:
            known &= ~np.isnan(np.asarray(rows[name], np.float64))
    return known


def grouped(space: Space, rows: Columns) -> tuple[Ints, tuple[tuple[object, ...], ...]]:
    """The group of each row by the words of `by`, and the groups in ascending order."""
    group = np.zeros(rows["point"].size, np.int64)
    for name in space.by:
        place = np.unique(rows[name], return_inverse=True)[1]
        code = group * (int(place.max(initial=0)) + 1) + place
        group = np.unique(code, return_inverse=True)[1].astype(np.int64)
    first = np.unique(group, return_index=True)[1]
    told = [rows[name][first].tolist() for name in space.by]
    return group, tuple(zip(*told, strict=True)) if told else ((),)
