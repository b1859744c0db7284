"""The cost of hops between layers: of a map, by chance, and what no map can go below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...workload import ExpertMap
from ..objective import kept, shares
from ..placement import HopCertificate, HopProof
from ..problem import Problem
from .matching import matching_duals, matching_value

Floats = NDArray[np.float64]


def hop_cost(expert_map: ExpertMap, problem: Problem) -> float:
    """Assignments that hop, each at its cost: 1 inside a node, `node_cost` to another.

    Equals the sum over runs of what leaves them: every hop leaves its rank (1), and one to another
    node leaves that as well (`node_cost` - 1).
    """
    assert problem.transitions is not None
    total = float(problem.transitions.sum())
    return sum(
        weight * (total - float(kept(expert_map, problem.transitions, group).sum()))
        for group, weight in tiers(problem)
    )


def chance_cost(expert_map: ExpertMap, problem: Problem) -> float:
    """The same if the next expert did not depend on this one: what balance alone would give."""
    assert problem.transitions is not None
    cost = 0.0
    for group, weight in tiers(problem):
        for row, flow in enumerate(problem.transitions):
            here = flow.sum(axis=1) @ shares(expert_map, row, group)
            after = flow.sum(axis=0) @ shares(expert_map, row + 1, group)
            cost += weight * (flow.sum() - float(here @ after) / max(float(flow.sum()), 1e-300))
    return cost


def tiers(problem: Problem) -> list[tuple[int, float]]:
    """(ranks of a run, what leaving it costs): ranks, and nodes where they cost more."""
    extra = problem.node_cost - 1
    return [(1, 1.0)] + ([(problem.node_ranks, extra)] if problem.nodes > 1 and extra > 0 else [])


def bound_hops(problem: Problem, seconds: float = 0.0) -> HopCertificate:
    """A lower bound on `hop_cost` over all maps, with its proof."""
    assert problem.transitions is not None
    total = float(problem.transitions.sum())
    proofs, cost = [], 0.0
    for group, weight in tiers(problem):
        slots = int(problem.slots_per_rank.reshape(-1, group).sum(axis=1).max())
        duals = np.stack([matching_duals(flow, slots) for flow in problem.transitions])
        most = np.array(
            [matching_value(f, slots, d) for f, d in zip(problem.transitions, duals, strict=True)]
        )
        proofs.append(HopProof(group=group, kept=most, duals=duals))
        cost += weight * max(0.0, total - float(most.sum()))
    return HopCertificate(problem=problem.hop_fingerprint(), bound=cost, proofs=tuple(proofs))
