"""The plain methods: in order, in turn, largest first, and largest first with swaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ...base import BadInput
from ...workload import ExpertMap
from ..problem import Problem
from .found import Found, as_map, demand_single

MOST_SWAPS = 1_000_000
"""A stop that ordinary layers never reach (they need some tens of swaps)."""


def contiguous(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Experts in order, rank after rank; slots left over begin again with expert 0.

    What engines do when nobody asks (vLLM eplb_state.py, SGLang expert_location.py).
    """
    row = (np.arange(problem.slots) % problem.experts).astype(np.int32)
    slots = np.tile(row, (len(problem.layers), 1))
    return Found(
        ExpertMap(
            slots=slots, ranks=problem.slot_ranks, layers=problem.layers, experts=problem.experts
        )
    )


def round_robin(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Expert e on rank e mod ranks."""
    demand_single(problem, "round-robin")
    row = (np.arange(problem.experts) % problem.ranks).astype(np.int32)
    if (np.bincount(row, minlength=problem.ranks) != problem.slots_per_rank).any():
        raise BadInput("round-robin needs the even split of slots", key="slots_per_rank")
    return Found(as_map(problem, np.tile(row, (len(problem.layers), 1))))


def lpt(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Largest first onto the least loaded rank that has a slot (Graham 1969, with slot counts)."""
    return Found(as_map(problem, lpt_homes(problem)))


def lpt_swaps(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """LPT, then swaps of two experts until none takes load off the busiest rank."""
    return Found(as_map(problem, swapped(problem, lpt_homes(problem))))


def lpt_homes(problem: Problem) -> NDArray[np.int32]:
    """The rank of each expert after LPT: `[moe_layers, experts]`, all layers at once."""
    demand_single(problem, "LPT")
    layers = np.arange(len(problem.layers))
    order = np.argsort(-problem.loads, axis=1, kind="stable")
    rank_loads = np.zeros((len(layers), problem.ranks))
    free = np.tile(problem.slots_per_rank, (len(layers), 1))
    homes = np.empty(problem.loads.shape, np.int32)
    for expert in order.T:
        target = np.where(free > 0, rank_loads, np.inf).argmin(axis=1)
        homes[layers, expert] = target
        rank_loads[layers, target] += problem.loads[layers, expert]
        free[layers, target] -= 1
    return homes


def swapped(problem: Problem, homes: NDArray[np.int32]) -> NDArray[np.int32]:
    """`homes` after the swap search of csrc/anneal; slot counts stay as they are."""
    return _core.balance_swaps(problem.loads, homes, problem.ranks, MOST_SWAPS)[0]


def swapped_reference(problem: Problem, homes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same search written plainly; equal to `swapped` bit by bit."""
    out = homes.copy()
    for loads, row in zip(problem.loads, out, strict=True):
        rank_loads = np.zeros(problem.ranks)
        for load, home in zip(loads, row, strict=True):
            rank_loads[home] += load
        while True:
            heavy = int(rank_loads.argmax())
            mine, others = np.flatnonzero(row == heavy), np.flatnonzero(row != heavy)
            moved = loads[mine][:, None] - loads[others][None, :]
            heavier = np.maximum(rank_loads[heavy] - moved, rank_loads[row[others]] + moved)
            heavier[moved <= 0] = np.inf
            if not heavier.size or not heavier.min() < rank_loads[heavy] * (1 - 1e-12):
                break
            a, b = np.unravel_index(heavier.argmin(), heavier.shape)
            rank_loads[heavy] -= moved[a, b]
            rank_loads[row[others[b]]] += moved[a, b]
            row[mine[a]], row[others[b]] = row[others[b]], heavy
    return out
