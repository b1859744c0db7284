"""Folds: rows predicted by constants that were fitted without their shapes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...simulator.gpu import AnyConstants
from ...simulator.gpu.fitted import UNKNOWN
from .fit import LEAST_ROWS, fit, prior
from .prediction import Prediction, spread
from .rows import Rows

Floats = NDArray[np.float64]


class Refit(NamedTuple):
    """Constants fitted without the rows of a fold, or the prior where nothing was `seen`."""

    fold: int
    left_out: NDArray[np.bool_]
    constants: AnyConstants
    seen: bool


def refits(rows: Rows, seed: int = 0) -> Iterator[Refit]:
    """The family refitted without each fold of shapes in turn.

    One of a single fold, or of too few rows, keeps its prior: nothing was seen.
    """
    for fold in np.unique(rows.fold).tolist():
        left_out = rows.fold == fold
        kept = rows.take(~left_out)
        seen = len(kept) >= LEAST_ROWS
        yield Refit(fold, left_out, fit(kept, seed) if seen else prior(rows), seen)


def unseen_shapes(rows: Rows, refitted: Sequence[Refit]) -> Prediction:
    """Each row predicted by the constants fitted without its shape."""
    seconds = np.zeros(len(rows))
    for one in refitted:
        seconds[one.left_out] = rows.take(one.left_out).seconds(one.constants)
    return across_folds(seconds, rows.measured_s, [one.left_out for one in refitted if one.seen])


def across_folds(
    seconds: Floats, measured_s: Floats, seen: Sequence[NDArray[np.bool_]]
) -> Prediction:
    """Seconds with the interval of each fold that the errors in the other folds give.

    seen: the folds whose rows were predicted by what was learnt on others; the rest is UNKNOWN.
    (Conformal prediction across folds: Barber et al., arXiv 1905.02928, section 2.)
    """
    low, high = seconds * UNKNOWN[0], seconds * UNKNOWN[1]
    learnt = np.any([np.zeros(seconds.size, bool), *seen], axis=0)
    for left_out in seen:
        others = learnt & ~left_out
        if others.sum() >= LEAST_ROWS:
            factors = spread(seconds[others], measured_s[others])
            low[left_out], high[left_out] = np.outer(factors, seconds[left_out])
    return Prediction(seconds=seconds, low_s=low, high_s=high)
