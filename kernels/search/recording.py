"""Recording: a space of which every configuration was tried before, and what became of each."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.evidence import Evidence
from .runner import Trial
from .space import Space, Value
from .strategy import Teacher

NEAR = 0.05
"""So close to the best a configuration is good; how many are says how hard a space is."""


class Recording:
    """A recorded space is a runner of the past: trials `[configs]`, in the order of its space.

    about: kernel, device and problem, as far as the file tells.
    """

    def __init__(
        self, name: str, about: dict[str, str], evidence: Evidence, trials: list[Trial]
    ) -> None:
        self.name, self.about, self.trials = name, about, trials
        self.evidence: Evidence = evidence
        self.space = Space.of(name, (trial.config for trial in trials))
        if len({row.tobytes() for row in self.space.table}) < len(trials):
            raise BadInput("holds a configuration more than once", key=name)

    @cached_property
    def seconds(self) -> NDArray[np.float64]:
        """`[configs]`, inf where one failed. Raises BadInput where all did."""
        seconds = np.array([trial.seconds for trial in self.trials])
        if not np.isfinite(seconds).any():
            raise BadInput("every configuration failed: there is nothing to find", key=self.name)
        return seconds

    @property
    def best_s(self) -> float:
        return float(self.seconds.min())

    @property
    def share_near(self) -> float:
        """The share of all configurations whose speed is within NEAR of the best."""
        return float((self.seconds <= self.best_s / (1 - NEAR)).mean())

    @property
    def near_words(self) -> str:
        """That share in percent, to two digits."""
        return f"{float(f'{100 * self.share_near:.2g}'):g}%"

    @property
    def teacher(self) -> Teacher:
        return Teacher(name=self.name, space=self.space, seconds=self.seconds)


def seconds_in(space: Space, teacher: Teacher) -> NDArray[np.float64]:
    """What the teacher knows of each configuration of the space: `[configs]`, nan where nothing.

    Raises BadInput for a teacher of another kernel: other parameters, or nothing in common.
    """
    if teacher.space.parameters.keys() != space.parameters.keys():
        raise BadInput(
            f"is of another kernel than {space.name}: its parameters are "
            f"{', '.join(teacher.space.parameters)}, not {', '.join(space.parameters)}",
            key=teacher.name,
        )
    known = np.full(len(space), np.nan)
    places = _translated(space, teacher.space)
    there = (places >= 0).all(axis=1)
    rows = {place.tobytes(): row for row, place in enumerate(space.table)}
    for place, seconds in zip(places[there], teacher.seconds[there], strict=True):
        row = rows.get(place.tobytes())
        if row is not None:
            known[row] = seconds
    if np.isnan(known).all():
        raise BadInput(f"has no configuration in common with {space.name}", key=teacher.name)
    return known


def _translated(space: Space, other: Space) -> NDArray[np.int16]:
    """The other's table in the places of the space's values; -1 for a value that it lacks."""
    columns: list[NDArray[Any]] = []
    names = list(other.parameters)
    for name, allowed in space.parameters.items():
        place: dict[Value, int] = {value: i for i, value in enumerate(allowed)}
        theirs = np.array([place.get(value, -1) for value in other.parameters[name]], np.int16)
        columns.append(theirs[other.table[:, names.index(name)]])
    return np.ascontiguousarray(np.stack(columns, axis=1))
