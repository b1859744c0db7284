"""Guided: rank everything by what is known, measure what promises most, learn from it, repeat.

What is known is a set of sources: the seconds of other GPUs or shapes, and a model's prediction.
For each source there is a belief: this space is like that source, but for a common factor and a
rest that is alike for like configurations. How the rest varies is learnt where two sources differ.
Every measurement moves each belief's means and its share of the say: so the search finds out whom
to believe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .recording import seconds_in
from .space import Space
from .strategy import Question, Search
from .surrogate import Belief, Covariance, Floats, distances, learnt, unlearnt

SAMPLE = 300
"""Configurations at which sources are compared."""
MOST_CANDIDATES = 20_000
"""Configurations that are thought about: of a larger space the best by the sources."""
FIRST = 8
"""Random configurations where nothing is known; what they teach is learnt anew at 16, 32, ..."""
VARIANCE = 1.0
"""Of log seconds where nothing is known: a factor of e either way. Measurements correct it."""


def guided(question: Question) -> Search:
    """The seed draws the configurations at which the sources are compared; where there is no source
    the first ones to measure. All else follows from the answers."""
    rng = np.random.default_rng(question.seed)
    sources = _sources(question)
    covariance = _covariance(question.space, sources, rng)
    complete = _complete(sources)
    rows = _candidates(question, complete, rng)
    search = _Guided(question, rows, [source[rows] for source in complete], covariance, rng)
    while (place := search.next()) is not None:
        search.tell(place, (yield int(rows[place])))


class _Guided:
    """The state of a search. Places count among the candidates."""

    def __init__(
        self,
        question: Question,
        rows: NDArray[np.int64],
        sources: list[Floats],
        covariance: Covariance,
        rng: np.random.Generator,
    ) -> None:
        self.table = np.ascontiguousarray(question.space.table[rows])
        self.apart = distances(question.space)
        self.most = min(question.budget, len(rows))
        self.sources = sources
        self.first = [] if sources else rng.permutation(len(rows))[:FIRST].tolist()
        self.measured: dict[int, float] = {}
        self.best, self.worst = math.inf, -math.inf
        self.beliefs = self._beliefs(covariance)

    def next(self) -> int | None:
        """What to measure: the best by the sources, then what promises the greatest gain."""
        if len(self.measured) >= self.most:
            return None
        if len(self.measured) < len(self.first):
            return int(self.first[len(self.measured)])
        if not math.isfinite(self.best):
            promise = -np.mean([belief.mean for belief in self.beliefs], axis=0)
        else:
            promise = self._say() @ [belief.expected_gain(self.best) for belief in self.beliefs]
        promise[list(self.measured)] = -math.inf
        return int(promise.argmax())

    def tell(self, place: int, seconds: float) -> None:
        """What failed counts as slow as the slowest so far: near it little is to be gained."""
        if math.isfinite(seconds):
            log_s = math.log(seconds)
            self.best, self.worst = min(self.best, log_s), max(self.worst, log_s)
        else:
            expected = float(np.mean([belief.mean[place] for belief in self.beliefs]))
            log_s = max(self.worst, expected) if self.measured else expected
        self.measured[place] = log_s
        for belief in self.beliefs:
            belief.tell(place, log_s)
        doubled = len(self.measured) & (len(self.measured) - 1) == 0
        if not self.sources and doubled and len(self.measured) > FIRST:
            self._learn_anew()

    def _say(self) -> Floats:
        """The share of each belief, by how likely it held the measurements."""
        evidence = np.array([belief.log_evidence for belief in self.beliefs])
        shares = np.exp(evidence - evidence.max())
        return np.asarray(shares / shares.sum())

    def _beliefs(self, covariance: Covariance) -> list[Belief]:
        priors = self.sources or [np.zeros(len(self.table))]
        return [Belief(prior, covariance, self.table) for prior in priors]

    def _learn_anew(self) -> None:
        places, logs = list(self.measured), np.array(list(self.measured.values()))
        self.beliefs = self._beliefs(learnt(self.apart, self.table[places], logs))
        for place, log_s in self.measured.items():
            for belief in self.beliefs:
                belief.tell(place, log_s)


def _covariance(space: Space, sources: Sequence[Floats], rng: np.random.Generator) -> Covariance:
    """Of the rest that no source explains, from a sample of what two sources both measured."""
    apart = distances(space)
    if not sources:
        return unlearnt(apart, VARIANCE)
    rest = _disagreement(sources)
    sample = rng.permutation(np.flatnonzero(np.isfinite(rest)))[:SAMPLE]
    return learnt(apart, space.table[sample], rest[sample])


def _sources(question: Question) -> list[Floats]:
    """Log seconds of each source `[configs]`: nan where it did not try, inf where that failed."""
    seconds = [seconds_in(question.space, teacher) for teacher in question.teachers]
    if question.predicted is not None:
        seconds.append(question.predicted)
    logs = [np.log(one) for one in seconds]
    return [log_s - np.median(log_s[np.isfinite(log_s)]) for log_s in logs]


def _disagreement(sources: Sequence[Floats]) -> Floats:
    """How a source differs from the truth, as far as sources tell `[configs]`, not finite where
    they do not: two of them differ by twice the variance of one. A single one is all that is known
    of how configurations differ."""
    if len(sources) == 1:
        return sources[0]
    with np.errstate(invalid="ignore"):
        return np.asarray((sources[0] - sources[1]) / math.sqrt(2))


def _complete(sources: Sequence[Floats]) -> list[Floats]:
    """What failed counts as slow as the slowest; what a source did not try is guessed from the
    others."""
    known = [np.where(np.isposinf(s), s[np.isfinite(s)].max(), s) for s in sources]
    return [_filled(log_s, known[:i] + known[i + 1 :]) for i, log_s in enumerate(known)]


def _filled(log_s: Floats, others: Sequence[Floats]) -> Floats:
    """Gaps by linear regression on the others, each of whose own gaps is its median, 0."""
    gaps = np.isnan(log_s)
    if not gaps.any():
        return log_s
    curves = np.array([np.ones(len(log_s)), *(np.nan_to_num(other) for other in others)])
    weights = np.linalg.lstsq(curves[:, ~gaps].T, log_s[~gaps], rcond=None)[0]
    return np.where(gaps, weights @ curves, log_s)


def _candidates(
    question: Question, sources: Sequence[Floats], rng: np.random.Generator
) -> NDArray[np.int64]:
    count = len(question.space)
    if count <= MOST_CANDIDATES:
        return np.arange(count)
    order = np.argsort(np.mean(sources, axis=0)) if sources else rng.permutation(count)
    return np.sort(order[:MOST_CANDIDATES])
