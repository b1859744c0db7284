"""Joint: balance as a hard cap, and as few hops, ranks visited and moves as annealing finds."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..placement import ROUNDING
from ..problem import Problem, Weights
from .anneal import annealed
from .found import Found, as_map, demand_transitions
from .replicas import replicas
from .simple import lpt_homes, swapped

DEFAULT_CAP = 1.05
"""Of the mean, where the problem sets none: hops alone would put what is popular together, at 1.6
to 2.2 of the mean."""
NODE_VISITS = 8.0
"""What a node visited counts in `groups`, in ranks visited: about the ratio of bandwidths."""


def joint(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Annealing from a balanced map: prices by `problem.weights`, no rank above the cap.

    Without a cap in the problem it is 1.05 of the mean. A layer whose balanced start is above that
    keeps the start's busiest load as its limit; `solve` says so where the problem's own cap is
    missed. Slots beyond one an expert hold the copies that `replicas` chooses.
    """
    weights = problem.weights
    if weights.hops:
        demand_transitions(problem, "joint")
    if weights.fan_out and problem.routing is None:
        raise BadInput("needs a trace of tokens; counts do not tell", key="weights.fan_out")
    if weights.moves and problem.current is None:
        raise BadInput("needs the map that is loaded now", key="weights.moves")
    return _joint(problem, time_limit_s, seed)


def groups(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Experts that tokens take together live together: fan-out alone, under the cap.

    On several nodes a node visited counts as much as `NODE_VISITS` ranks.
    """
    if problem.routing is None:
        raise BadInput("groups needs a trace of tokens; counts do not tell", key="routing")
    alone = msgspec.structs.replace(
        problem,
        weights=Weights(hops=0.0, fan_out=1.0),
        node_cost=max(problem.node_cost, NODE_VISITS) if problem.nodes > 1 else 1.0,
    )
    return _joint(alone, time_limit_s, seed)


def _joint(problem: Problem, time_limit_s: float, seed: int) -> Found:
    homes, held = _start(problem, time_limit_s, seed)
    caps = problem.caps if problem.cap is not None else np.full(len(problem.layers), DEFAULT_CAP)
    started = as_map(problem, homes, held).rank_loads(problem.loads).max(axis=1)
    limit = np.maximum(caps * problem.mean_loads, started) * (1 + ROUNDING)
    homes, interrupted = annealed(problem, homes, held, limit, time_limit_s, seed)
    return Found(as_map(problem, homes, held), interrupted=interrupted)


def _start(
    problem: Problem, time_limit_s: float, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A balanced map as (homes, experts) of items, `[moe_layers, items]` each."""
    if not problem.has_copies:
        every = np.arange(problem.experts, dtype=np.int32)
        held = np.tile(every, (len(problem.layers), 1))
        return swapped(problem, lpt_homes(problem)), held
    balanced = replicas(problem, time_limit_s, seed).expert_map
    homes = np.tile(balanced.ranks, (len(problem.layers), 1)).astype(np.int32)
    return homes, np.ascontiguousarray(balanced.slots)
