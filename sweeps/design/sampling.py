"""Points drawn in the unit cube, each from its number alone, so that any run of them is drawn the
same by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.uint64]
Floats = NDArray[np.float64]

ROUNDS = 6
"""Of the Feistel network; four mix well, the others are cheap."""
SHUFFLING = 2**20
"""The first stream of permutations; those of draws are the axes' numbers."""


def unit_random(seed: int, numbers: Ints, stream: int) -> Floats:
    """A share in [0, 1) of each number, independent of all others."""
    bits = (_mixed(numbers, seed, stream) >> np.uint64(11)).astype(np.float64)
    return np.asarray(bits * 2.0**-53, np.float64)


def random(points: int, axes: int, seed: int, numbers: Ints) -> Floats:
    """Independent uniform draws `[numbers, axes]`."""
    return np.stack([unit_random(seed, numbers, axis) for axis in range(axes)], axis=1)


def latin_hypercube(points: int, axes: int, seed: int, numbers: Ints) -> Floats:
    """Along every axis each of `points` equal slices holds one point (McKay et al., 1979)."""
    within = random(points, axes, seed, numbers)
    slices = [_shuffled(numbers, points, seed, axis) for axis in range(axes)]
    return np.asarray((np.stack(slices, axis=1) + within) / points)


def sobol(points: int, axes: int, seed: int, numbers: Ints) -> Floats:
    """Scrambled Sobol points; balanced when `points` is a power of two."""
    from scipy.stats import qmc

    drawn = qmc.Sobol(axes, scramble=True, bits=30, rng=np.random.default_rng(seed))
    order = np.argsort(numbers, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(numbers[order].astype(np.int64)) > RUN) + 1)
    shares, at = np.zeros((numbers.size, axes)), 0
    with warnings.catch_warnings():  # scipy's word on other numbers than powers of two
        warnings.simplefilter("ignore", UserWarning)
        for run in runs:
            if run.size:
                first, last = int(numbers[run[0]]), int(numbers[run[-1]]) + 1
                if first > at:
                    drawn.fast_forward(first - at)
                shares[run] = drawn.random(last - first)[(numbers[run] - np.uint64(first))]
                at = last
    return np.asarray(np.minimum(shares, np.nextafter(1.0, 0.0)))


RUN = 4096
"""Sobol points that are drawn and thrown away sooner than leapt over."""

SAMPLERS: dict[str, Callable[[int, int, int, Ints], Floats]] = {
    "random": random,
    "latin-hypercube": latin_hypercube,
    "sobol": sobol,
}
"""Callables of points, axes, seed, and the numbers of the points that are wanted."""


def _mixed(numbers: Ints, seed: int, stream: int) -> Ints:
    """Steele, Lea and Flood's SplitMix64 (OOPSLA 2014) of each number in a stream of its own."""
    with np.errstate(over="ignore"):
        start = np.uint64((seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64)
        z = numbers * np.uint64(0x9E3779B97F4A7C15) + start
        for _ in range(2):
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
    return z


def _shuffled(numbers: Ints, points: int, seed: int, axis: int) -> Ints:
    """Where a permutation of 0..points-1 takes the numbers: a Feistel network over the next power
    of four, walked on until it lands inside (Black and Rogaway, CT-RSA 2002)."""
    half = np.uint64(max(1, -(-(points - 1).bit_length() // 2)))
    low = np.uint64(2 ** int(half) - 1)
    found = numbers.copy()
    out = np.ones(found.size, np.bool_)
    while out.any():
        left, right = found[out] >> half, found[out] & low
        for turn in range(ROUNDS):
            mixed = _mixed(right, seed, SHUFFLING + ROUNDS * axis + turn) & low
            left, right = right, left ^ mixed
        found[out] = (left << half) | right
        out = found >= points
    return found
