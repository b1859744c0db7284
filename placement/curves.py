"""What balance costs: against slots (memory for copies) and against moved experts (stalls)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..base import BadInput
from .objective import imbalance, moved
from .problem import Problem
from .solvers import Method, solve
from .solvers.rebalance import frontier, least_ratio, rebalanced


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Busiest over mean rank at some price: the worst and the mean layer, and a bound on the worst.

    price: slots of a layer over all ranks, or experts moved over all layers.
    """

    price: int
    worst: float
    mean: float
    bound: float


def balance_against_slots(
    problem: Problem,
    slots_per_rank: Sequence[int],
    method: str | Method = "replicas",
    time_limit_s: float = 10.0,
) -> list[Point]:
    """The same loads with other slots on each rank. Cap, current map and budget are left out."""
    out = []
    for slots in slots_per_rank:
        asked = msgspec.structs.replace(
            problem,
            slots_per_rank=np.full(problem.ranks, slots, np.int64),
            cap=None,
            current=None,
            most_moves=None,
        )
        placed = solve(asked, method, time_limit_s)
        ratio = imbalance(placed.expert_map, asked.loads)
        bound = float((placed.bound / asked.mean_loads).max())
        out.append(
            Point(
                price=asked.slots, worst=float(ratio.max()), mean=float(ratio.mean()), bound=bound
            )
        )
    return out


def balance_against_moves(problem: Problem, budgets: Sequence[int]) -> list[Point]:
    """The best worst layer that each number of moves pays for; one search serves all."""
    if problem.current is None:
        raise BadInput("moves are counted from the map that is loaded now", key="current map")
    front = frontier(problem)
    out = []
    for budget in budgets:
        placed = rebalanced(problem, front, budget)
        ratio = imbalance(placed, problem.loads)
        out.append(
            Point(
                price=int(moved(placed, problem.current).sum()),
                worst=float(ratio.max()),
                mean=float(ratio.mean()),
                bound=least_ratio(problem, budget),
            )
        )
    return out
