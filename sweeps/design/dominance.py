"""Compiled comparisons of points: who dominates whom. Opened by `pareto` and `hypervolume` only.

A point dominates another that it is no larger than in any objective and smaller than in one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function compiled at its first call, kept on disk; threads run it side by side."""
    return cast(F, njit(cache=True, nogil=True)(function))


@compiled
def _dominates(a: Any, b: Any) -> Any:
    smaller = False
    for i in range(a.size):
        if a[i] > b[i]:
            return False
        smaller = smaller or a[i] < b[i]
    return smaller


@compiled
def survivors(points: Any, elite: Any) -> Any:
    """Which points `[n, k]` no point of `elite [m, k]` dominates."""
    keep = np.ones(len(points), np.bool_)
    for p in range(len(points)):
        for e in range(len(elite)):
            if _dominates(elite[e], points[p]):
                keep[p] = False
                # Whoever dominated one point likely dominates its neighbour: ask it first.
                if e > 0:
                    for i in range(points.shape[1]):
                        elite[e, i], elite[e // 2, i] = elite[e // 2, i], elite[e, i]
                break
    return keep


@compiled
def filtered(points: Any) -> Any:
    """Which points no earlier one dominates, in an order in which no later one dominates an
    earlier one."""
    kept = np.empty_like(points)
    keep = np.zeros(len(points), np.bool_)
    size = 0
    for p in range(len(points)):
        dominated = False
        for e in range(size):
            if _dominates(kept[e], points[p]):
                dominated = True
                for i in range(points.shape[1]):
                    kept[e, i], kept[e // 2, i] = kept[e // 2, i], kept[e, i]
                break
        if not dominated:
            keep[p] = True
            kept[size] = points[p]
            size += 1
    return keep


@compiled
def volume(points: Any, reference: Any) -> Any:
    """The hypervolume of `points [n, 3]`, ascending in the last: the area of the staircase of the
    points so far, times the way to the next point."""
    x, y = np.empty(len(points)), np.empty(len(points))
    steps, area, total = 0, 0.0, 0.0
    for p in range(len(points)):
        steps, gained = _stepped(x, y, steps, points[p], reference)
        area += gained
        above = points[p + 1, 2] if p + 1 < len(points) else reference[2]
        total += area * (above - points[p, 2])
    return total


@compiled
def _stepped(x: Any, y: Any, steps: int, point: Any, reference: Any) -> Any:
    """Puts a point into a staircase of `steps` steps, x ascending and y descending; its new number
    of steps and the area gained."""
    first = np.searchsorted(x[:steps], point[0])
    top = y[first - 1] if first > 0 else reference[1]
    if top <= point[1] or (first < steps and x[first] == point[0] and y[first] <= point[1]):
        return steps, 0.0
    last, edge, gained = first, point[0], 0.0
    while last < steps and y[last] >= point[1]:
        gained += (x[last] - edge) * (top - point[1])
        edge, top, last = x[last], y[last], last + 1
    right = x[last] if last < steps else reference[0]
    gained += (right - edge) * (top - point[1])
    # Slices of one array may overlap: what moves is copied first.
    x[first + 1 : first + 1 + steps - last] = x[last:steps].copy()
    y[first + 1 : first + 1 + steps - last] = y[last:steps].copy()
    x[first], y[first] = point[0], point[1]
    return first + 1 + steps - last, gained
