"""Heuristic searches against the exact front, each with the same number of evaluations."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..design.hypervolume import hypervolume
from ..design.nsga import nsga2
from ..design.pareto import front as front_of
from .search import Front
from .space import Evaluated, Space
from .two_stage import two_stage

Ints = NDArray[np.int64]
MARGIN = 1.1
"""The reference point lies so far from the front's best corner, in ranges of the front."""


MOST_EVALUATIONS = 10**6
"""Of a heuristic: twice a whole grid of `Axes`."""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What a heuristic found of a front with so many evaluations, all that it was given.

    hypervolume: its share of the exact front's, in all objectives, each from the best to MARGIN
    times the range of the exact front; latency, interval: the exact best over the best found.
    """

    name: str
    evaluations: int
    hypervolume: float
    latency: float
    interval: float
    objectives: NDArray[np.float64]


class _Seen:
    """Evaluates places and keeps all that it was asked for."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.found: list[Evaluated] = []

    def __call__(self, places: Ints) -> Evaluated:
        self.found.append(self.space.evaluate(tuple(places.T)))
        return self.found[-1]

    def fitness(self, places: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found = self(places)
        return found.objectives, found.excess


def _two_stage(seen: _Seen, evaluations: int, seed: int) -> None:
    two_stage(seen, seen.space.axes, evaluations, seed)


def _nsga2(seen: _Seen, evaluations: int, seed: int) -> None:
    nsga2(seen.fitness, seen.space.axes.shape, evaluations, seed)


def _random(seen: _Seen, evaluations: int, seed: int) -> None:
    shape = seen.space.axes.shape
    seen(np.random.default_rng(seed).integers(0, shape, (evaluations, len(shape))))


HEURISTICS: dict[str, Callable[[_Seen, int, int], None]] = {
    "two-stage": _two_stage,
    "nsga2": _nsga2,
    "random": _random,
}


def check_evaluations(evaluations: int) -> None:
    """Raises BadInput for a number that no comparison takes."""
    if not 1 <= evaluations <= MOST_EVALUATIONS:
        raise BadInput(
            f"must lie between 1 and {MOST_EVALUATIONS}", key="evaluations", value=evaluations
        )


def compare(exact: Front, evaluations: int = 5000, seed: int = 0) -> tuple[Score, ...]:
    """Every heuristic on the space of a front that was found exactly."""
    check_evaluations(evaluations)
    if not len(exact.place):
        return ()
    truth = exact.found.objectives
    low, spread = truth.min(axis=0), np.ptp(truth, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    reference = np.full(truth.shape[1], MARGIN)
    whole = hypervolume((truth - low) / spread, reference)
    scores = []
    for name, run in HEURISTICS.items():
        seen = _Seen(exact.space)
        run(seen, evaluations, seed)
        asked = sum(len(found.objectives) for found in seen.found)
        good = np.concatenate([found.objectives[found.inside] for found in seen.found])
        mine = good[front_of(good)]
        intervals = [found.interval_s[found.inside] for found in seen.found]
        scores.append(
            Score(
                name=name,
                evaluations=asked,
                hypervolume=hypervolume((mine - low) / spread, reference) / whole,
                latency=float(low[0] / mine[:, 0].min(initial=np.inf)),
                interval=exact.least_interval_s / np.concatenate(intervals).min(initial=np.inf),
                objectives=mine,
            )
        )
    return tuple(scores)
