"""Constraints that leave no point: which of them cannot be met together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .space import Space
from .space_file import MOST_ENUMERATED

CHUNK = 65536


def check_not_empty(space: Space) -> None:
    """Raises BadInput, naming as few constraints as contradict each other, where no point of an
    enumerated space meets all of them. Reads points up to the first that does."""
    if not space.constraints or space.size > MOST_ENUMERATED:
        return
    names, met = list(space.constraints), np.zeros(0, np.int64)
    for first in range(0, space.size, CHUNK):
        rows = space.rows(np.arange(first, min(space.size, first + CHUNK)))
        bits = np.zeros(rows["point"].size, np.int64)
        for i, held in enumerate(space.constraints.values()):
            bits |= np.broadcast_to(held(rows), bits.shape).astype(np.int64) << i
        met = np.union1d(met, bits)
        if (met == 2 ** len(names) - 1).any():
            return
    least = _least(met, len(names))
    told = " and ".join(f"`{names[i]}` ({space.constraints[names[i]].text})" for i in least)
    if len(least) == 1:
        what = f"no point meets {told}: the space is empty"
    else:
        what = f"no point meets {told} together: the space is empty"
    raise BadInput(what, file=space.path, key="constraints")


def _least(met: NDArray[np.int64], count: int) -> list[int]:
    """A set of constraints that no point meets together, of which none can be left out. met: the
    sets of constraints that points do meet, as bits."""
    kept = list(range(count))
    for one in range(count):
        fewer = sum(1 << i for i in kept if i != one)
        if not (met & fewer == fewer).any():
            kept.remove(one)
    return kept
