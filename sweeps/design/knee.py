"""The knee of a front: where giving up a little of one objective no longer buys much of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .standing import Standing

Ints = NDArray[np.int64]


def places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values `[points, objectives]` in shares of each range: 0 the best, 1 the worst. Ranges of one
    sign that span more than a factor of ten are taken in logarithms."""
    found = np.array(values, np.float64)
    for column in found.T:
        if (column > 0).all() or (column < 0).all():
            size = np.abs(column)
            if size.max() > 10 * size.min():
                column[:] = np.sign(column[0]) * np.log(size)
    spread = np.ptp(found, axis=0)
    return np.asarray((found - found.min(axis=0)) / np.where(spread > 0, spread, 1.0))


def knees(standing: Standing) -> Ints:
    """The row of each group's knee, in the order of groups; -1 for a group without a front.

    The point of the front that lies farthest below the plane through the ends of all objectives
    (Das, Structural Optimization 18, 1999): that with the least sum of `places`.
    """
    on_front = standing.front()
    found = np.full(len(standing.groups), -1)
    for number in range(len(standing.groups)):
        rows = np.flatnonzero(on_front & (standing.group == number))
        if rows.size:
            found[number] = rows[np.argmin(places(standing.values[rows]).sum(axis=1))]
    return found
