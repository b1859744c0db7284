"""The cost of hops between layers: of a map, by chance, and what no map can go below."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...workload import ExpertMap
from ..objective import kept, shares
from ..placement import HopCertificate, HopProof
from ..problem import Problem
from .matching import matching_duals, matching_value
from .split import Room, Split, best_split

Floats = NDArray[np.float64]

LEAST_ITERATIONS, MOST_ITERATIONS = 5, 100
ITERATION_S, ITERATION_S_A_CELL = 2e-3, 5e-7
"""Core seconds of one iteration on one pair of layers, measured on one shared x86 core (64 to 256
experts). They turn a time into a number of iterations, so that the same question gets the same
answer on any machine."""


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
            total = float(flow.sum())
            cost += weight * (total - float(here @ after) / max(total, 1e-300))
    return cost


def tiers(problem: Problem) -> list[tuple[int, float]]:
    """(ranks of a run, what leaving it costs): ranks, and nodes where they cost more."""
    extra = problem.node_cost - 1
    if problem.node_ranks == 1:
        return [(1, problem.node_cost)]
    return [(1, 1.0)] + ([(problem.node_ranks, extra)] if problem.nodes > 1 and extra > 0 else [])


def bound_hops(problem: Problem, seconds: float = 0.0) -> HopCertificate:
    """A lower bound on `hop_cost` over all maps that keep the cap, with its proof.

    seconds: without any, the b-matching of each pair of layers; with some, its split (`split.py`)
    with as many iterations as an ordinary core does in that time.
    """
    assert problem.transitions is not None
    total = float(problem.transitions.sum())
    proofs, cost = [], 0.0
    kinds = tiers(problem)
    for group, weight in kinds:
        found = _bounded(problem, group, seconds / len(kinds))
        proofs.append(_proof(group, found))
        cost += weight * max(0.0, total - sum(split.kept for split in found))
    return HopCertificate(bound=cost, proofs=tuple(proofs), **problem.terms())


def rooms(problem: Problem, group: int) -> list[Room]:
    """What a map has to keep to on runs of `group` ranks, for each pair of layers."""
    assert problem.transitions is not None
    slots = problem.slots_per_rank.reshape(-1, group).sum(axis=1)
    runs, caps = len(slots), problem.caps
    out = []
    for row, flow in enumerate(problem.transitions):
        # The cap speaks of loads: of flows only where rows and columns add up to the loads.
        sums = np.stack([flow.sum(axis=1), flow.sum(axis=0)])
        same = np.allclose(sums, problem.loads[row : row + 2], rtol=1e-9)
        share = float(flow.sum()) / runs if same else np.inf
        out.append(
            Room(
                slots=int(slots.max()),
                runs=runs,
                equal=not problem.has_copies and bool((slots == slots[0]).all()),
                most=(float(caps[row]) * share, float(caps[row + 1]) * share),
            )
        )
    return out


def _bounded(problem: Problem, group: int, seconds: float) -> list[Split]:
    """The bound of each pair; pairs are shared among the cores, which changes no result."""
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    assert problem.transitions is not None
    spaces = rooms(problem, group)
    each = max(1, len(spaces)) * (ITERATION_S + ITERATION_S_A_CELL * problem.experts**2)
    iterations = min(MOST_ITERATIONS, int(seconds / each))

    def one(flow: Floats, room: Room) -> Split:
        if iterations < LEAST_ITERATIONS:
            return _matched(flow, room)
        return best_split(flow, room, iterations)

    # One thread a pair: these matrices are too small for a library that shares one among cores.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor() as workers:
        return list(workers.map(one, problem.transitions, spaces))


def _matched(flow: Floats, room: Room) -> Split:
    duals = matching_duals(flow, room.slots, at_most=not room.equal)
    kept_most = matching_value(flow, room.slots, duals)
    none = np.zeros((0, 0), np.float32)
    return Split(kept=kept_most, duals=duals, part=none, load_duals=np.zeros_like(duals))


def _proof(group: int, found: list[Split]) -> HopProof:
    split = bool(found) and found[0].part.size > 0
    return HopProof(
        group=group,
        kept=np.array([one.kept for one in found]),
        duals=np.stack([one.duals for one in found]),
        part=np.stack([one.part for one in found]) if split else None,
        load_duals=np.stack([one.load_duals for one in found]) if split else None,
    )
