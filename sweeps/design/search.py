"""Heuristics for spaces too large to ask about every point: NSGA-II, and TPE by optuna."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from .ladder import Rounds, joined
from .nsga import nsga2
from .space import Space
from .space_file import Search
from .standing import judged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CANNOT = 1e6
"""The excess of a point that no machine can be, beside goals missed by shares of one each."""


class _Asked:
    """Answers a search's questions, generation by generation; a point is evaluated once."""

    def __init__(self, space: Space, rounds: Rounds) -> None:
        self.space, self.rounds = space, rounds
        self.parts: list[Columns] = []
        self.known: dict[int, tuple[Floats, float]] = {}

    def __call__(self, places: Ints) -> tuple[Floats, Floats]:
        """Places `[points, axes]` to objectives, and how far each is from being allowed."""
        points = np.asarray(np.ravel_multi_index(tuple(places.T), self.space.shape), np.int64)
        new = np.setdiff1d(points, np.array(list(self.known), np.int64))
        if new.size:
            self._ask(new)
        answers = [self.known[point] for point in points.tolist()]
        return np.stack([one for one, _ in answers]), np.array([excess for _, excess in answers])

    def _ask(self, new: Ints) -> None:
        rows = self.rounds.round("bound", f"{len(self.parts):05d}", new, "bound")
        self.parts.append(rows)
        standing = judged(self.space, rows)
        worst = np.zeros(len(self.space.objectives))
        self.known |= dict.fromkeys(new.tolist(), (worst, CANNOT))
        excess = _excess(self.space, rows, standing.meets)
        values = np.where(np.isfinite(standing.values), standing.values, 0.0)
        for i, point in enumerate(standing.point.tolist()):
            self.known[point] = (values[i], float(excess[i]))


def _excess(space: Space, rows: Columns, meets: NDArray[np.bool_]) -> Floats:
    """0 for rows that meet everything, else the goals missed; more for what cannot be built, and
    for what does not fit by how much it lacks."""
    rows = rows | space.derive(rows)
    missed = sum((~np.broadcast_to(goal(rows), meets.shape)).astype(float) for goal in space.goals)
    lack = np.maximum(0.0, -np.nan_to_num(np.asarray(rows["spare_bytes"], float), nan=1e30))
    excess = missed + np.where(lack > 0, 10.0 + np.log1p(lack), 0.0)
    return np.where(meets, 0.0, np.maximum(excess, 0.5))


def search(space: Space, rounds: Rounds) -> Columns:
    """Every point that the search asked about."""
    asked = space.file.search
    assert asked is not None
    ask = _Asked(space, rounds)
    METHODS[asked.method](ask, space, asked)
    return joined(ask.parts)


def _nsga2(ask: _Asked, space: Space, asked: Search) -> None:
    nsga2(ask, space.shape, asked.evaluations, space.seed, asked.population)


def _tpe(ask: _Asked, space: Space, asked: Search) -> None:
    """Bergstra et al. (NeurIPS 2011) in batches of a population; ties to what others of a batch
    will find are cut by the constant liar."""
    try:
        import optuna
    except ImportError:
        raise BadInput(
            "needs the package optuna: pip install 'moesaic[tune]'", key="search"
        ) from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=space.seed, constant_liar=True)
    directions: Any = ["minimize"] * len(space.objectives)
    study = optuna.create_study(sampler=sampler, directions=directions)
    for begin in range(0, asked.evaluations, asked.population):
        trials: list[Any] = []
        places = []
        for _ in range(min(asked.population, asked.evaluations - begin)):
            trial = study.ask()
            places.append([trial.suggest_int(a.name, 0, a.size - 1) for a in space.axes])
            trials.append(trial)
        values, excess = ask(np.array(places, np.int64))
        for trial, row, over in zip(trials, values.tolist(), excess.tolist(), strict=True):
            trial.set_constraint("excess", over)
            study.tell(trial, row)


METHODS: dict[str, Callable[[_Asked, Space, Search], None]] = {"nsga2": _nsga2, "tpe": _tpe}
"""Callables of what answers, the space, and the search asked for."""
