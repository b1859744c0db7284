"""Fitting a kernel model's constants to rows, and predicting rows that the fit did not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...simulator.gpu import AnyConstants, limits
from ...simulator.gpu.fitted import UNKNOWN
from .fits import remembered
from .prediction import Prediction, spread
from .rows import Rows

Floats = NDArray[np.float64]

LEAST_ROWS = 60
"""A family with fewer rows is not fitted: up to sixteen constants want several rows each."""
SAMPLE = 2500
"""Rows that one fit looks at, drawn from all of its family's."""
TRIAL = 500
"""Rows on which a family's choices are told apart."""
GLITCH = 0.1
"""The error beyond which a row pulls less (soft L1): some recorded rows are off by 4x to 39x."""
PULL = 0.3
"""What a constant pays for leaving its start by a factor e: as much as a row that is off by 30%.
Constants that the rows do not show stay where physics put them."""


def prior(rows: Rows) -> AnyConstants:
    """What an unseen kernel of the rows' name is given."""
    return rows.model.starts(rows.family)[0]


def fit(rows: Rows, seed: int = 0) -> AnyConstants:
    """The constants with the least soft-L1 error of log(predicted / measured) on the rows.

    Every start of the family, one for each choice that its kernel may have made, is fitted to a few
    rows; the best goes on with SAMPLE of them. A fit that was made before is remembered.
    """
    if len(rows) < LEAST_ROWS:
        raise BadInput(
            f"holds {len(rows)} rows; at least {LEAST_ROWS} are needed to fit its constants",
            key=rows.family,
        )
    return remembered(rows, seed, lambda: _best_fit(rows, seed))


def _best_fit(rows: Rows, seed: int) -> AnyConstants:
    order = np.random.default_rng(seed).permutation(len(rows))
    few, many = (rows.take(np.sort(order[:count])) for count in (TRIAL, SAMPLE))
    trials = [_fit(few, start) for start in rows.model.starts(rows.family)]
    return _fit(many, min(trials, key=lambda trial: trial[0])[1])[1]


def _fit(rows: Rows, start: AnyConstants) -> tuple[float, AnyConstants]:
    """The cost and the constants reached from `start`; its choices stay as they are."""
    from scipy.optimize import least_squares

    ranges = limits(type(start))
    least, most = (np.array(side) for side in zip(*ranges.values(), strict=True))

    def constants(x: Floats) -> AnyConstants:
        values = np.clip(np.exp(x), least, most)
        return msgspec.structs.replace(start, **dict(zip(ranges, values.tolist(), strict=True)))

    def residual(x: Floats) -> Floats:
        off = np.log(rows.seconds(constants(x)) / rows.measured_s)
        return np.concatenate([off, PULL * (x - first)])

    within = (np.log(least) - 1e-9, np.log(most) + 1e-9)
    first = np.clip(np.log([getattr(start, name) for name in ranges]), *within)
    answer = least_squares(
        residual, first, bounds=within, loss="soft_l1", f_scale=GLITCH, max_nfev=60
    )
    return float(answer.cost), constants(answer.x)


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
