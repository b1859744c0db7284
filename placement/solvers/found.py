"""What a method hands back, and the turn from homes to slots."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap
from ..placement import HopCertificate, Proof
from ..problem import Problem


class Found(msgspec.Struct, frozen=True):
    """A map, and bounds that the method proved on its way (any layers, any number).

    interrupted: the method was stopped by hand and hands back its best so far.
    notes: sentences that the reader of the answer should see.
    """

    expert_map: ExpertMap
    proofs: tuple[Proof, ...] = ()
    hop_certificate: HopCertificate | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()


Method = Callable[[Problem, float, int], Found | ExpertMap]
"""(problem, time_limit_s, seed) -> what it found. A user's own function is as good as ours."""


def demand_single(problem: Problem, method: str) -> None:
    """Raises BadInput where slots are left for copies and the method makes none."""
    if problem.has_copies:
        raise BadInput(
            f"{method} gives each of the {problem.experts} experts one slot, but "
            f"there are {problem.slots}: use a method that makes copies (replicas, eplb), or give "
            "fewer slots",
            key="slots_per_rank",
        )


def demand_transitions(problem: Problem, method: str) -> NDArray[np.float64]:
    """The transitions; raises BadInput where the routing does not tell them."""
    if problem.transitions is None or not problem.transitions.any():
        raise BadInput(
            f"{method} needs to know which expert follows which: a routing trace of at least two "
            "layers, or counts with transitions between neighbours",
            key="transitions",
        )
    return problem.transitions


def as_map(
    problem: Problem, homes: NDArray[np.int32], held: NDArray[np.int32] | None = None
) -> ExpertMap:
    """Slots in rank order from `homes [moe_layers, items]`, the rank of each item.

    held: `[moe_layers, items]`, the expert of each item; items are the experts themselves by
    default (one copy each).
    """
    order = np.argsort(homes, axis=1, kind="stable").astype(np.int32)
    return ExpertMap(
        slots=order if held is None else np.take_along_axis(held, order, axis=1),
        ranks=problem.slot_ranks,
        layers=problem.layers,
        experts=problem.experts,
    )
