"""Ranker: physics and published winners together, as a few constants."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import NonNegative, Spec
from ...base.files import read_text
from .contexts import Contexts, Rows
from .features import NAMES, Floats
from .logit import fit
from .prior import chances_elsewhere, chances_from, class_weights

PENALTIES = (1e-2, 1e-3)
"""Of the fit, see `logit.fit`: which of them is found out inside what a ranker may learn from."""
ELSEWHERE = "winners elsewhere"
SHIPPED = Path(__file__).parent / "shipped.json"


class Score(Spec, frozen=True, kw_only=True):
    """Shares of winners among the first 1, 5 and 10 tiles that a method names.

    group: the class that was left out of all that the method learned from; part: which of its
    winners: 'all', a band of tokens or a source.
    """

    group: str
    part: str
    method: str
    winners: int
    top1: NonNegative
    top5: NonNegative
    top10: NonNegative


class Ranker(Spec, frozen=True, kw_only=True):
    """A tile's score is the sum of weight times feature, each without its mean over the tiles, and
    `prior` times the log chance that other winners give it.

    weights: by feature. penalty: of the fit. data: what they were fitted to; command: what wrote
    the file; scores: with one class after another left out. unseen: the rankers that were scored,
    by the class that each never saw.
    """

    weights: dict[str, float]
    prior: float
    penalty: float
    data: str = ""
    command: str = ""
    scores: tuple[Score, ...] = ()
    unseen: dict[str, Ranker] = msgspec.field(default_factory=dict)

    def log_chances(self, features: NDArray[Any], chances: Floats) -> Floats:
        """`[contexts, tiles]` from features `[contexts, tiles, NAMES]` and log chances by winners
        `[contexts, tiles]`."""
        weights = np.array([self.weights[name] for name in NAMES])
        total = features.astype(np.float64) @ weights + self.prior * chances
        total = total - total.max(axis=1, keepdims=True)
        return np.asarray(total - np.log(np.exp(total).sum(axis=1, keepdims=True)))


def fitted(
    known: Contexts,
    features: NDArray[Any],
    rows: Rows,
    penalty: float,
    *,
    winners: bool = True,
) -> Ranker:
    """The ranker that the contexts of `rows` teach.

    Each class learns beside what the other classes of `rows` say, as a GPU that nobody tuned for
    will be asked about. winners: whether it hears them at all, or goes by physics alone.
    """
    centred = features[rows] - features[rows].mean(axis=1, keepdims=True)
    scale = centred.std(axis=(0, 1)) + 1e-9
    inputs = centred / scale
    if winners:
        heard = chances_elsewhere(known, rows)[:, :, None]
        inputs = np.concatenate([inputs, heard], axis=2)
    weights = fit(inputs, known.wins[rows], class_weights(known, rows)[rows], penalty)
    return Ranker(
        weights=dict(zip(NAMES, (weights[: len(NAMES)] / scale).tolist(), strict=True)),
        prior=float(weights[-1]) if winners else 0.0,
        penalty=penalty,
    )


def best_penalty(known: Contexts, features: NDArray[Any], rows: Rows) -> float:
    """Of PENALTIES, the one whose rankers find the winners the most likely where each class of
    `rows` in turn is left out too; no other class is looked at."""

    def likelihood(penalty: float) -> float:
        found = []
        for group in np.unique(known.group[rows]):
            asked, others = rows & (known.group == group), rows & (known.group != group)
            ranker = fitted(known, features, others, penalty)
            heard = chances_from(known, known.near[asked], others)
            chances, wins = ranker.log_chances(features[asked], heard), known.wins[asked]
            found.append((chances * wins).sum() / wins.sum())
        return float(np.mean(found))

    return max(PENALTIES, key=likelihood)


@functools.cache
def shipped() -> Ranker:
    """The constants that ship, fitted to all classes, with their scores."""
    return msgspec.json.decode(read_text(SHIPPED), type=Ranker)
