"""A whole space in memory: for spaces that take seconds, and for programs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.parquet import Columns
from .conflicts import check_not_empty
from .evaluate import evaluate
from .ladder import joined
from .outcome import Outcome, outcome
from .space import Space
from .stages import stages

CHUNK = 32768


class _Held:
    """Rounds of points, and the rows that they gave."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.stages: dict[str, list[Columns]] = {}

    def every(self) -> bool:
        for first in range(0, self.space.size, CHUNK):
            self._ask("bound", self.space.columns(first, first + CHUNK), "bound")
        return True

    def round(self, stage: str, name: str, points: NDArray[np.int64], detail: str) -> Columns:
        return self._ask(stage, self.space.select(np.sort(points)), detail)

    def rows(self, names: list[str]) -> Columns:
        return self.read("bound", tuple(names))

    def read(
        self, stage: str, names: tuple[str, ...] | None, points: NDArray[np.int64] | None = None
    ) -> Columns:
        if not (rows := joined(self.stages.get(stage, []))):
            return {}
        keep = slice(None) if points is None else np.isin(rows["point"], points)
        return {name: rows[name][keep] for name in (rows if names is None else names)}

    def _ask(self, stage: str, words: Columns, detail: str) -> Columns:
        rows = words | evaluate(words, detail, self.space.seed, self.space.here)
        rows |= self.space.derive(rows)
        self.stages.setdefault(stage, []).append(rows)
        return rows


def explore(space: Space) -> Outcome:
    """Every stage of the space in this process, nothing written; the outcome equals that of a run
    of the same space in a folder. Raises BadInput."""
    check_not_empty(space)
    held = _Held(space)
    stages(space, held)
    return outcome(space, held)
