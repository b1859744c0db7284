"""Outcome: what a run of a space found, brought together from the files of its stages."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base.parquet import Columns
from .hypervolume import hypervolume
from .knee import knees, places
from .ladder import Closer, floor, seen_closer
from .sensitivity import Effect, effects
from .space import Space
from .standing import Standing, judged, no_rows

Ints = NDArray[np.int64]

MOST_VOLUME = {4: 2000, 5: 150, 6: 40}
"""Points of a front in so many objectives whose exact hypervolume takes seconds; any in fewer."""


class Files(Protocol):
    """The finished rows of a run."""

    def read(
        self, stage: str, names: tuple[str, ...] | None, points: Ints | None = None
    ) -> Columns:
        """The named columns (all, if None) of a stage, by ascending point; none for a stage that
        did not run. points: only of these."""
        ...


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """rows: `space.needed`, every axis' column and every objective of all evaluated points;
    standing: of these; effects: which knob matters, among points that fit (of a
    search's, which are no fair sample, none); closer: the finer look,
    if the space asked for one; front: whole rows of the best front, finer where that was looked
    at, by group; knees: rows of it; served: rows of the serving simulation.
    """

    space: Space
    rows: Columns
    standing: Standing
    effects: tuple[Effect, ...]
    closer: Closer | None
    front: Columns
    front_standing: Standing
    knees: Ints
    served: Columns

    @property
    def label(self) -> str:
        """The axis whose values are told apart by colour (see `label_of`)."""
        return label_of(self.space)

    def volume(self) -> float | None:
        """The share of the box between the best and the worst of the front that it dominates, over
        all groups together; None where it would take long."""
        values = self.front_standing.values
        points, objectives = values.shape
        if not points or (objectives > 3 and points > MOST_VOLUME.get(objectives, 0)):
            return None
        return hypervolume(places(values), np.full(values.shape[1], 1.0 + 1e-9))


def label_of(space: Space) -> str:
    """The first axis of words set together, else the first of texts, '' without one."""
    texts = [axis for axis in space.axes if axis.columns.get(axis.name, _NONE).dtype == object]
    texts.sort(key=lambda axis: len(axis.columns) == 1)
    return texts[0].name if texts else ""


_NONE: NDArray[Any] = np.zeros(0)


def outcome(space: Space, files: Files) -> Outcome:
    """The outcome of a run whose stages are done. Raises BadInput for damaged files."""
    axes = [axis.name for axis in space.axes]
    wanted = dict.fromkeys((*space.needed, *(name for name in axes if name in space.words)))
    rows = files.read("bound", tuple(wanted))
    rows |= space.derive(rows)
    standing = judged(space, rows)
    fits = np.flatnonzero((rows["status"] == "ok") & np.isfinite(standing.values).all(axis=1))
    known = {name: column[fits] for name, column in rows.items()}
    closer = None
    if space.file.finer is not None:
        looked = files.read("finer", None) or no_rows(space)
        closer = seen_closer(space, floor(space, rows), looked)
    best = standing if closer is None else closer.standing
    points = best.point[best.front()]
    stage = "bound" if closer is None else "finer"
    front = files.read(stage, None, points) or no_rows(space)
    front |= space.derive(front)
    front_standing = judged(space, front)
    return Outcome(
        space=space,
        rows=rows,
        standing=standing,
        effects=() if space.file.search or not fits.size else tuple(effects(space, known)),
        closer=closer,
        front=front,
        front_standing=front_standing,
        knees=knees(front_standing),
        served=files.read("served", None) if space.file.served is not None else {},
    )


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """best: the best value of an objective that each label reaches in a group, best label first."""

    group: tuple[object, ...]
    objective: str
    best: dict[str, float]


def contests(found: Outcome) -> list[Contest]:
    """Who is best at each objective in each group, among points that meet the goals; at the bound,
    where every point was looked at. Empty without an axis of texts."""
    if not found.label:
        return []
    standing, names = found.standing, np.asarray(found.rows[found.label])
    made = []
    for number, group in enumerate(standing.groups):
        there = np.flatnonzero(standing.meets & (standing.group == number))
        for k, (objective, sense) in enumerate(found.space.objectives):
            values = {
                name: float(standing.values[there[names[there] == name], k].min())
                for name in dict.fromkeys(names[there].tolist())
            }
            ordered = sorted(values.items(), key=lambda item: item[1])
            best = {name: sense * value for name, value in ordered}
            made.append(Contest(group=group, objective=objective, best=best))
    return made
