"""The exact Pareto front of many points in any number of objectives, all made small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput

ELITE = 256
"""Points that every other is held against before any sorting."""

Floats = NDArray[np.float64]


def front(points: Floats) -> NDArray[np.int64]:
    """The points `[n, k]` that no other dominates, ascending; equal ones all stay.

    First a few good points discard most others: whoever one of them dominates is not on the front.
    What is left is sorted by the sum of its ranges; then no later point dominates an earlier one
    (a dominating point has no larger sum; equal sums are in lexicographic order), so that each is
    held against the front so far (Chomicki et al., ICDE 2003, sort-filter-skyline).
    """
    from .dominance import filtered, survivors

    if points.ndim != 2 or not np.isfinite(points).all():
        raise BadInput("needs finite numbers [points, objectives]", key="points")
    if not len(points):
        return np.zeros(0, np.int64)
    points = np.ascontiguousarray(points, np.float64)
    score = _score(points)
    best = np.argpartition(score, min(ELITE, len(points)) - 1)[:ELITE]
    left = np.flatnonzero(survivors(points, points[best]))
    order = left[np.lexsort((*points[left].T[::-1], score[left]))]
    return np.sort(order[filtered(points[order])])


def _score(points: Floats) -> Floats:
    """A sum that never falls where an objective grows."""
    low = points.min(axis=0)
    spread = points.max(axis=0) - low
    parts = (points - low) / np.where(spread > 0, spread, 1.0)
    score: Floats = parts[:, 0].copy()
    for column in parts.T[1:]:
        score += column
    return score
