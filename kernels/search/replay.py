"""Searches replayed on recorded spaces: how near the optimum, after how many evaluations."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.evidence import Evidence
from .names import strategy_named
from .recording import Recording, seconds_in
from .strategy import Question, Teacher
from .tune import sent, unique


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy on one recorded space. fractions `[seeds, budget]`: the best time of the space
    over the best one found within so many different evaluations; 0 before one ran."""

    space: str
    strategy: str
    taught_by: tuple[str, ...]
    evidence: Evidence
    fractions: NDArray[np.float64]

    def mean_at(self, evaluations: int) -> float:
        return float(self._at(evaluations).mean())

    def quartiles_at(self, evaluations: int) -> tuple[float, float]:
        low, high = np.quantile(self._at(evaluations), (0.25, 0.75))
        return float(low), float(high)

    def _at(self, evaluations: int) -> NDArray[np.float64]:
        return self.fractions[:, evaluations - 1]


def replay(
    recording: Recording,
    strategies: Sequence[str],
    seeds: int,
    budget: int,
    teachers: Sequence[Teacher] = (),
    jobs: int = -1,
) -> list[Replay]:
    """Each strategy with seeds 0, 1, ... on the recorded space, in `jobs` processes (-1: all).

    No strategy sees a time of this space but those that it asked for. Raises BadInput for an
    unknown strategy, or one that has not what it needs, before anything runs.
    """
    from joblib import Parallel, delayed

    if not strategies:
        raise BadInput("name at least one strategy", key="strategies")
    if seeds < 1 or budget < 1:
        raise BadInput("seeds and budget must be at least 1", value=(seeds, budget))
    if not jobs:
        raise BadInput("must be a number of processes, or -1 for all processors", key="jobs")
    budget = min(budget, len(recording.space))
    for teacher in teachers:
        seconds_in(recording.space, teacher)
    questions = [
        Question(space=recording.space, budget=budget, seed=seed, teachers=tuple(teachers))
        for seed in range(seeds)
    ]
    for name in strategies:
        begun = strategy_named(name)(questions[0])
        next(begun)
        begun.close()
    runs = Parallel(n_jobs=jobs)(
        delayed(_fractions)(name, question, recording.seconds)
        for name in strategies
        for question in questions
    )
    found = np.array(runs).reshape(len(strategies), seeds, budget)
    return [
        Replay(
            space=recording.name,
            strategy=name,
            taught_by=tuple(teacher.name for teacher in teachers),
            evidence=recording.evidence,
            fractions=found[i],
        )
        for i, name in enumerate(strategies)
    ]


def _fractions(name: str, question: Question, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """One search `[budget]`; one that ends early stays where it came to."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # its matrices are small: threads would wait for each other
        return _followed(name, question, seconds)


def _followed(name: str, question: Question, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    search = unique(strategy_named(name)(question), question.budget)
    found = np.full(question.budget, np.inf)
    row = next(search, None)
    for i in range(question.budget):
        if row is None:
            break
        found[i] = seconds[row]
        row = sent(search, found[i])
    return np.asarray(seconds.min() / np.minimum.accumulate(found))
