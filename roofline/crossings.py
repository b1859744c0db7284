"""What the collectives of a split put on each tier, whatever the tiers' links: shapes alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..workload import Parallel, contiguous
from .collectives import all_gather, all_reduce
from .experts import distinct_groups
from .machines import record

TIER = record("inner", "outer", "reduce", "gather", "send", "exchange", "first")
"""One tier under one split. inner, outer: devices of a unit (itself, its node) and of the group
that the tier joins. reduce, gather: bytes over its link for each byte of a replica's all-reduce,
and of an all-gather over the stage; send: ways from stage to stage that cross it; exchange: 1 where
tokens cross it to their experts. first: where its units begin in `Exchange`."""


def crossings(parallel: Parallel, sizes: Sequence[int]) -> NDArray[np.void]:
    """The records `[tiers]` of a split of regular setups, but for `exchange` and `first`."""
    out = np.zeros(len(sizes), TIER)
    inner = 1
    for row, size in zip(out, sizes, strict=True):
        row["inner"], row["outer"] = inner, inner * size
        inner *= size
    for name, members, cost in (
        ("reduce", parallel.tp, all_reduce),
        ("gather", parallel.stage_devices, all_gather),
    ):
        width = np.minimum(np.ceil(members / out["inner"]), sizes)
        crossed = np.flatnonzero(width > 1)
        out[name][crossed] = cost(1.0, width[crossed].tolist())
    n = parallel.stage_devices
    for device in range(n, parallel.devices, n):
        meets = np.flatnonzero((device - n) // out["outer"] == device // out["outer"])[0]
        out["send"][meets] += 1
    return out


class Exchange:
    """Who needs whom in the exchange of tokens; see `links.expert_link` for the rule.

    Every tier of every split has its units in `chance` and `others`, one after another: the chance
    that a token needs the unit, and the sum of that chance over the units which the tier joins to
    it and which hold no device of its replica; alike: the next unit where either changes. Equal
    splits share one run.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[object, ...], int] = {}
        self._made: list[NDArray[np.float64]] = [np.zeros((3, 1))]
        self._size = 1

    def arrays(self) -> NDArray[np.float64]:
        """chance, others and alike of all units: `[3, units]`."""
        return np.concatenate(self._made, axis=1)

    def fill(self, tiers: NDArray[np.void], experts: int, top_k: int, parallel: Parallel) -> None:
        """Sets `exchange` and `first` of a split's tiers."""
        if parallel.ep == 1 or parallel.dp == 1:
            return
        split = (experts, top_k, parallel.tp, parallel.dp, parallel.ep)
        for row in tiers:
            inner, outer = int(row["inner"]), int(row["outer"])
            row["exchange"] = max(inner, parallel.tp) < min(parallel.stage_devices, outer)
            key = (*split, inner, outer)
            if row["exchange"] and key not in self._runs:
                self._runs[key] = self._size
                self._made.append(_needed(inner, outer, experts, top_k, parallel))
                self._size += self._made[-1].shape[1]
            row["first"] = self._runs.get(key, 0)


def _needed(
    inner: int, outer: int, experts: int, top_k: int, parallel: Parallel
) -> NDArray[np.float64]:
    """chance, others and alike of each unit of a tier: `[3, units]`."""
    n, etp = parallel.stage_devices, parallel.expert_tp
    local = np.bincount(contiguous(experts, parallel.ep, (0,)).ranks)
    before = np.concatenate([[0], np.cumsum(local)])
    heads = np.arange(0, n, inner)
    last = np.minimum(heads + inner, n) - 1
    held, place = np.unique(before[last // etp + 1] - before[heads // etp], return_inverse=True)
    chance = np.array([distinct_groups(experts, int(count), top_k) for count in held])[place]
    block = min(max(inner, parallel.tp), outer)
    joined = np.bincount(heads // outer, chance)[heads // outer]
    own = np.bincount(heads // block, chance)[heads // block]
    others = joined - own
    size = np.diff(heads, append=n)  # the last unit may have fewer devices
    changes = (np.diff(chance) != 0) | (np.diff(others) != 0) | (np.diff(size) != 0)
    ends = np.append(np.flatnonzero(changes) + 1, heads.size)
    alike = ends[np.searchsorted(ends, np.arange(heads.size), side="right")]
    return np.array([chance, others, alike], np.float64)
