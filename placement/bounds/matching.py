"""B-matching: the most that a pair of layers can keep when every run has C slots a layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SWEEPS = 20
"""The descent is within 0.01% of the optimum by then (64 to 256 experts, docs/benchmarks.md)."""


def matching_value(weights: Floats, slots: int, duals: Floats) -> float:
    """C (sum u + sum v) + sum max(0, W - u - v): no b-matching of `weights [E, E]` exceeds it.

    duals: `[2, E]`, any numbers u and v. Linear programming duality with 0 <= Y <= 1 and rows and
    columns of Y summing to C = `slots`.
    """
    u, v = duals
    over = np.maximum(weights - u[:, None] - v, 0.0).sum()
    return float(slots * duals.sum() + over)


def matching_duals(weights: Floats, slots: int, *, at_most: bool = False) -> Floats:
    """u and v `[2, E]` for which `matching_value` is small: coordinate descent on the dual.

    For a given v the best u_i is the C-th largest of W[i] - v, and the other way round; any value
    between the C-th and the next is as good, and their middle keeps the descent from sticking.
    at_most: rows and columns may sum to less than C, so that u and v must not be negative.
    """
    experts = len(weights)
    best = np.zeros((2, experts))
    if slots >= experts:
        return best
    best_value, v = np.inf, np.zeros(experts)
    floor = 0.0 if at_most else -np.inf
    for _ in range(SWEEPS):
        u = np.maximum(_threshold(weights - v, slots), floor)
        v = np.maximum(_threshold(weights.T - u, slots), floor)
        duals = np.stack([u, v])
        value = matching_value(weights, slots, duals)
        if value >= best_value - 1e-6 * abs(best_value):
            break
        best, best_value = duals, value
    return best


def _threshold(rows: Floats, slots: int) -> Floats:
    """The middle between the C-th and the next largest of each row."""
    place = rows.shape[1] - slots
    cut = np.partition(rows, (place - 1, place), axis=1)
    return np.asarray((cut[:, place - 1] + cut[:, place]) / 2)
