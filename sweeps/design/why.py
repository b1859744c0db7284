"""Why a point gives what it gives: where its time goes, who beats it, and what one step of each
knob would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from ...roofline import Estimate
from ...simulator import estimate
from ...workload import make_step
from .routed import routed
from .space import Space
from .standing import Standing, judged
from .words import asked, model_of, split_of, system_of

Ints = NDArray[np.int64]
Ask = Callable[[Columns], Columns]
"""Rows of words to rows of words and results."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One axis moved by one value. values: objectives there, as the space names them; status: of
    the point there."""

    axis: str
    was: str
    to: str
    values: Mapping[str, float]
    status: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """words, values: of the point; estimate: its decoding step at the bound, None if it cannot be
    built; beaten_by: points of its group that dominate it; steps: what moving each axis does;
    sampled: the points are drawn, so that there are no steps."""

    point: int
    words: Mapping[str, Any]
    values: Mapping[str, float]
    status: str
    estimate: Estimate | None
    beaten_by: tuple[int, ...]
    steps: tuple[Step, ...]
    sampled: bool


def why(space: Space, point: int, ask: Ask, rows: Columns | None = None) -> Why:
    """The reasons of one point. ask: evaluates rows; rows: all that were evaluated, with at least
    `space.needed`, to say who beats it. Raises BadInput for a point that the space does not hold,
    or that its constraints leave out."""
    if not 0 <= point < space.size:
        raise BadInput(f"must lie in 0..{space.size - 1}", key="point", value=point)
    row = space.select(np.array([point]))
    if not row["point"].size:
        raise BadInput("is left out by the space's constraints", key="point", value=point)
    row = row | ask(row)
    words = {name: row[name].tolist()[0] for name in space.words}
    return Why(
        point=point,
        words=words,
        values=_values(space, row)[0],
        status=str(row["status"][0]),
        estimate=_estimate(words, space.here),
        beaten_by=_beaten_by(judged(space, rows), point) if rows is not None else (),
        steps=_steps(space, point, ask),
        sampled=space.file.sample is not None,
    )


def _values(space: Space, rows: Columns) -> list[dict[str, float]]:
    rows = rows | space.derive(rows)
    return [
        {name: float(rows[name][i]) for name, _ in space.objectives}
        for i in range(rows["point"].size)
    ]


def _estimate(words: Mapping[str, Any], here: Path) -> Estimate | None:
    try:
        model, system = model_of(words, here), system_of(words, here)
        split = split_of(words, system, model)
        chance, experts = routed(words, model, split, here)
        load = {key: asked(words, key) for key in ("batch", "context")}
        step = make_step(model, chance=chance, **load)
        return estimate(
            model, step, system, parallel=split, expert_map=experts, ignore_capacity=True
        )
    except BadInput:
        return None


def _beaten_by(standing: Standing, point: int) -> tuple[int, ...]:
    (at,) = (
        np.flatnonzero(standing.point == point)[:1] if (standing.point == point).any() else (-1,)
    )
    if at < 0 or not standing.meets[at]:
        return ()
    mine = standing.values[at]
    rows = np.flatnonzero(standing.meets & (standing.group == standing.group[at]))
    values = standing.values[rows]
    better = (values <= mine).all(axis=1) & (values < mine).any(axis=1)
    front = standing.front()[rows]
    return tuple(standing.point[rows[better & front]].tolist())


def _steps(space: Space, point: int, ask: Ask) -> tuple[Step, ...]:
    """The neighbours of a point of a grid; a sample has none."""
    if space.file.sample is not None:
        return ()
    place = [int(at) for at in np.unravel_index(point, space.shape)]
    near: list[tuple[int, int]] = []
    for i, size in enumerate(space.shape):
        near += [(i, to) for to in (place[i] - 1, place[i] + 1) if 0 <= to < size]
    if not near:
        return ()
    moved = np.repeat(np.array(place)[:, None], len(near), axis=1)
    for k, (i, to) in enumerate(near):
        moved[i, k] = to
    numbers = np.asarray(np.ravel_multi_index(tuple(moved), space.shape), np.int64)
    rows = space.select(np.sort(numbers))
    rows = rows | ask(rows)
    values = dict(zip(rows["point"].tolist(), _values(space, rows), strict=True))
    status = dict(zip(rows["point"].tolist(), rows["status"].tolist(), strict=True))
    return tuple(
        Step(
            axis=space.axes[i].name,
            was=_shown(space, i, place[i]),
            to=_shown(space, i, to),
            values=values.get(number, {}),
            status=status.get(number, "left out by the constraints"),
        )
        for (i, to), number in zip(near, numbers.tolist(), strict=True)
    )


def _shown(space: Space, axis: int, place: int) -> str:
    one = space.axes[axis]
    column = one.columns.get(one.name, next(iter(one.columns.values())))
    value = column[place]
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
