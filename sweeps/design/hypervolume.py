"""The exact hypervolume of points in any number of objectives, all made small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pareto import front

Floats = NDArray[np.float64]


def hypervolume(points: Floats, reference: Floats) -> float:
    """The volume that points `[n, k]` dominate below `reference` `[k]`.

    By slices (Zitzler's hypervolume by slicing objectives): along the objective with the fewest
    values, the volume between two values is that of all points up to the lower one in the other
    objectives, where most of them are dominated. Three objectives are swept in compiled code.
    """
    from .dominance import volume

    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] <= 3:
        return float(volume(*_three(points, reference)))
    along = int(np.argmin([np.unique(column).size for column in points.T]))
    points = points[np.argsort(points[:, along], kind="stable")]
    height, rest = points[:, along], np.delete(points, along, axis=1)
    levels, starts = np.unique(height, return_index=True)
    above = np.append(levels[1:], reference[along])
    low, kept, total = np.delete(reference, along), rest[:0], 0.0
    for thick, new in zip(above - levels, np.split(rest, starts[1:]), strict=True):
        kept = np.concatenate((kept, new))
        kept = kept[front(kept)]
        total += hypervolume(kept, low) * float(thick)
    return total


def _three(points: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """The same volume in three objectives, in order of the last: those that lack are one thick."""
    lack = 3 - points.shape[1]
    wide = np.pad(points, ((0, 0), (0, lack)))
    deep = np.pad(reference, (0, lack), constant_values=1.0)
    return wide[np.argsort(wide[:, 2], kind="stable")], deep
