"""What a method hands back, and the turn from homes to slots."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...workload import ExpertMap
from ..placement import Proof
from ..problem import Problem


class Found(msgspec.Struct, frozen=True):
    """A map, and bounds that the method proved on its way (any layers, any number)."""

    expert_map: ExpertMap
    proofs: tuple[Proof, ...] = ()


Method = Callable[[Problem, float, int], Found | ExpertMap]
"""(problem, time_limit_s, seed) -> what it found. A user's own function is as good as ours."""


def as_map(problem: Problem, homes: NDArray[np.int32]) -> ExpertMap:
    """Slots in rank order from `homes [moe_layers, experts]`, the rank of each expert."""
    return ExpertMap(
        slots=np.argsort(homes, axis=1, kind="stable").astype(np.int32),
        ranks=np.repeat(np.arange(problem.ranks), problem.slots_per_rank).astype(np.int32),
        layers=problem.layers,
        experts=problem.experts,
    )
