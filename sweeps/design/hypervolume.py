"""The exact hypervolume of points in any number of objectives, all made small."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def hypervolume(points: Floats, reference: Floats) -> float:
    """The volume that points `[n, k]` dominate below `reference` `[k]`.

    By slices (Zitzler's hypervolume by slicing objectives): along the objective with the fewest
    values, the volume between two values is that of all points up to the lower one in the other
    objectives. Three objectives and fewer are swept in compiled code.
    """
    from .dominance import volume

    points = np.unique(points[(points < reference).all(axis=1)], axis=0)
    if not len(points):
        return 0.0
    if points.shape[1] <= 3:
        return float(volume(*_three(points, reference)))
    along = int(np.argmin([np.unique(column).size for column in points.T]))
    height, rest = points[:, along], np.delete(points, along, axis=1)
    levels = np.append(np.unique(height), reference[along])
    low = np.delete(reference, along)
    slices = (
        hypervolume(rest[height <= level], low) * (above - level)
        for level, above in pairwise(levels)
    )
    return float(sum(slices))


def _three(points: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """The same volume in three objectives, in order of the last: those that lack are one thick."""
    lack = 3 - points.shape[1]
    wide = np.pad(points, ((0, 0), (0, lack)))
    return wide[np.argsort(wide[:, 2], kind="stable")], np.pad(
        reference, (0, lack), constant_values=1.0
    )
