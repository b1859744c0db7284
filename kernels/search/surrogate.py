"""A Gaussian process over configurations that is told one measurement after another.

Two configurations are alike as far as their parameters are near: k(x, x') is the product over the
parameters p of (1 + a_p exp(-d_p / RANGE)) / (1 + a_p), d_p how far their values are apart. It
holds every interaction; a_p, how much p matters, is learnt by marginal likelihood (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, section 5.4.1), with a prior around 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .space import Space, Value

Floats = NDArray[np.floating[Any]]

RANGE = 2.0
"""Doublings of a value over which likeness falls by e."""
PRIOR_SPREAD = math.sqrt(2.0)
"""Standard deviation of log a_p before anything is learnt."""
LEAST_NUGGET = 1e-3
"""Variance of a log time that nothing explains: repeats differ by some percent."""
WIDE = 4.0
"""Variance of the unknown common factor, over that of the process: nearly anything."""
ROOM = 64
"""Measurements that there is room for at first."""
ROUNDING = 1e-6
"""Share of the variance below which what is left of it is rounding."""


class Covariance(msgspec.Struct, frozen=True):
    """near: for each parameter `[values, values]` the likeness of two values, at most 1. variance:
    of the process; nugget: of what is left to each configuration alone."""

    near: tuple[NDArray[np.float64], ...]
    variance: float
    nugget: float

    def column(self, table: NDArray[np.int16], row: int) -> Floats:
        """Covariance of each row of the table with one of them `[configs]`."""
        product = np.full(len(table), self.variance)
        for near, places in zip(self.near, table.T, strict=True):
            product *= near[places[row]][places]
        return product


def distances(space: Space) -> list[NDArray[np.float64]]:
    """For each parameter `[values, values]`: doublings between numbers; 1 between two words."""
    return [_apart(values) for values in space.parameters.values()]


def _apart(values: Sequence[Value]) -> NDArray[np.float64]:
    if any(isinstance(value, str) for value in values):
        return 1.0 - np.eye(len(values))
    numbers = np.array(values, float)
    steps = (
        np.log2(numbers) if numbers.min() > 0 else np.sign(numbers) * np.log2(1 + np.abs(numbers))
    )
    return np.asarray(np.abs(steps[:, None] - steps))


def unlearnt(apart: Sequence[NDArray[np.float64]], variance: float) -> Covariance:
    """Every parameter matters alike."""
    return _covariance(apart, np.ones(len(apart)), variance, LEAST_NUGGET)


def _covariance(
    apart: Sequence[NDArray[np.float64]], matters: Floats, variance: float, nugget: float
) -> Covariance:
    near = tuple(
        (1 + a * np.exp(-d / RANGE)) / (1 + a) for d, a in zip(apart, matters, strict=True)
    )
    return Covariance(near, float(variance), float(nugget))


def learnt(
    apart: Sequence[NDArray[np.float64]], table: NDArray[np.int16], values: Floats
) -> Covariance:
    """The covariance under which these values `[configs]` of these configurations are likeliest."""
    from scipy.linalg import lapack  # its BLAS must be there to be limited
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    values = values - values.mean()
    size = float(values.var()) + LEAST_NUGGET
    alike = [
        np.exp(-d[np.ix_(places, places)] / RANGE) for d, places in zip(apart, table.T, strict=True)
    ]
    count = len(apart)
    with threadpool_limits(1, "blas"):  # of small matrices threads wait for each other
        found = minimize(
            _surprise,
            np.r_[np.zeros(count + 1), -3.0],
            (alike, values, size, lapack),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-4, 4)] * count + [(-3, 3), (-8, 1)],
            options={"maxiter": 60},
        ).x
    sizes = np.exp(found)
    nugget = size * sizes[-1] + LEAST_NUGGET
    return _covariance(apart, sizes[:count], size * sizes[count], nugget)


def _surprise(
    logs: Floats, alike: Sequence[Floats], values: Floats, size: float, lapack: Any
) -> tuple[float, NDArray[np.float64]]:
    """Minus the log posterior of log a_p, log variance and log nugget, and its gradient.

    Rasmussen and Williams, equations 5.8 and 5.9; the last two are over `size`.
    """
    matters = np.exp(logs[:-2])
    process = np.full((len(values), len(values)), size * np.exp(logs[-2]))
    for a, near in zip(matters, alike, strict=True):
        process *= (1 + a * near) / (1 + a)
    own = size * np.exp(logs[-1])
    factor, _ = lapack.dpotrf(process + (own + LEAST_NUGGET) * np.eye(len(values)), lower=1)
    lower, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    weights = inverse @ values
    slope = inverse - np.outer(weights, weights)
    own_slope = own * np.trace(slope)
    slope *= process
    of_matters = [
        (slope * (a * (near - 1) / (1 + a * near))).sum() / (1 + a)
        for a, near in zip(matters, alike, strict=True)
    ]
    gradient = 0.5 * np.array([*of_matters, slope.sum(), own_slope])
    gradient[:-2] += logs[:-2] / PRIOR_SPREAD**2
    surprise = 0.5 * values @ weights + np.log(np.diag(factor)).sum()
    return float(surprise + 0.5 * ((logs[:-2] / PRIOR_SPREAD) ** 2).sum()), gradient


class Belief:
    """What is believed of every configuration: mean and variance `[configs]` of its log seconds.

    prior: the mean before any measurement, up to a common factor. The scale of the variances is
    unknown too: PSEUDO measurements speak for 1, the others for what they show.
    """

    PSEUDO = 2.0

    def __init__(self, prior: Floats, covariance: Covariance, table: NDArray[np.int16]) -> None:
        self.mean = np.array(prior, float)
        self.covariance, self.table = covariance, table
        self.variance = np.full(len(table), (1 + WIDE) * covariance.variance)
        self._least = ROUNDING * covariance.variance
        self._told = np.empty((ROOM, len(table)), np.float32)
        self.count, self.log_evidence, self._misfit = 0, 0.0, 0.0

    @property
    def scale(self) -> float:
        """What the variances are multiplied by. The first measurement only sets the level."""
        return (self.PSEUDO + self._misfit) / (self.PSEUDO + max(self.count - 1, 0))

    def tell(self, row: int, log_seconds: float) -> None:
        """Conditions on one measurement: a row of the Cholesky factor at a time."""
        if self.count == 0:
            self.mean += log_seconds - self.mean[row]
        error = log_seconds - self.mean[row]
        variance = self.variance[row] + self.covariance.nugget
        if self.count:
            self._weigh(error, variance)
        column = self.covariance.column(self.table, row) + WIDE * self.covariance.variance
        before = self._told[: self.count]
        told = (column - before[:, row] @ before) / math.sqrt(variance)
        if self.count == len(self._told):
            self._told = np.concatenate([self._told, np.empty_like(self._told)])
        self._told[self.count] = told
        self.count += 1
        self.mean += told * (error / math.sqrt(variance))
        self.variance = np.maximum(self.variance - told**2, self._least)

    def _weigh(self, error: float, variance: float) -> None:
        """Adds the log density of the error, a Student t since the scale is unknown too."""
        freedom = self.PSEUDO + self.count - 1
        spread = variance * self.scale
        self.log_evidence += (
            math.lgamma((freedom + 1) / 2)
            - math.lgamma(freedom / 2)
            - 0.5 * math.log(math.pi * freedom * spread)
            - (freedom + 1) / 2 * math.log1p(error**2 / (freedom * spread))
        )
        self._misfit += error**2 / variance

    def expected_gain(self, best: float) -> Floats:
        """Expected improvement on the best log seconds `[configs]` (Jones, Schonlau and Welch,
        Efficient global optimization, 1998, equation 15)."""
        from scipy.special import ndtr

        spread = np.sqrt(self.variance * self.scale)
        z = (best - self.mean) / spread
        gain: Floats = spread * (z * ndtr(z) + np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))
        return gain
