"""EPLB as DeepSeek published it: greedy copies, largest-first packing, by nodes or over all ranks.

Source: github.com/deepseek-ai/EPLB (eplb.py, README.md). Weights are float32 there and here, so
that ties fall alike. The steps run over all layers at once; the published file walks each layer
item by item, so this is faster than what engines run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap
from ..objective import duplicates
from ..problem import Problem
from .found import Found

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def eplb(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Groups of experts to nodes, copies within the node, copies to its ranks.

    Groups are the problem's, or one a node where nodes divide the experts. Where the nodes do not
    share the groups evenly, over all ranks, as published.
    """
    return _placed(problem, groups_of(problem), problem.nodes)


def eplb_global(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Copies and ranks without a regard for groups and nodes."""
    return _placed(problem, 1, 1)


def groups_of(problem: Problem) -> int:
    """The groups that stay inside a node: the problem's, else one a node, else a single one."""
    if problem.groups is not None:
        return problem.groups
    return 1 if problem.experts % problem.nodes else problem.nodes


def _placed(problem: Problem, groups: int, nodes: int) -> Found:
    if (problem.slots_per_rank != problem.slots_per_rank[0]).any():
        raise BadInput("EPLB needs as many slots on each rank", key="slots_per_rank")
    held, _, _ = rebalance_experts(problem.loads, problem.slots, groups, nodes, problem.ranks)
    expert_map = ExpertMap(
        slots=held.astype(np.int32),
        ranks=problem.slot_ranks,
        layers=problem.layers,
        experts=problem.experts,
    )
    twice = int(duplicates(expert_map).sum())
    note = f"{twice} slots repeat an expert that their rank already holds; engines may refuse that"
    return Found(expert_map, notes=(note,) if twice else ())


def rebalance_experts(
    loads: NDArray[np.floating] | NDArray[np.integer],
    slots: int,
    groups: int,
    nodes: int,
    ranks: int,
) -> tuple[Ints, Ints, Ints]:
    """The published call: loads `[layers, experts]`, `slots` over all ranks.

    Returns the expert of each slot `[layers, slots]`, the slots of each expert `[layers, experts,
    most copies]` padded with -1, and its number of copies `[layers, experts]`.
    """
    if groups % nodes:
        groups, nodes = 1, 1
    weights = np.asarray(loads, np.float32)
    layers, experts = weights.shape
    size = experts // groups
    totals: Floats = weights.reshape(layers, groups, size).sum(axis=2, dtype=np.float32)
    node, place = packed(totals, nodes)
    # A row of `members` is a node of a layer: its experts, group after group.
    by_node = np.argsort(node * (groups // nodes) + place, axis=1)
    members = (by_node[:, :, None] * size + np.arange(size)).reshape(layers, experts)
    local = np.take_along_axis(weights, members, 1).reshape(layers * nodes, -1)
    held, nth, copies = replicated(local, slots // nodes)
    per_copy = np.divide(local, copies, dtype=np.float32)
    rank, seat = packed(np.take_along_axis(per_copy, held, 1), ranks // nodes)
    order = np.argsort(rank * (slots // ranks) + seat, axis=1)
    nth = np.take_along_axis(nth, order, 1).reshape(layers, slots)
    held = np.take_along_axis(members.reshape(layers * nodes, -1), held, 1)
    held = np.take_along_axis(held, order, 1).reshape(layers, slots)
    counts = np.empty((layers, experts), np.int64)
    np.put_along_axis(counts, members, copies.reshape(layers, experts), 1)
    where = np.full((layers, experts, int(counts.max())), -1, np.int64)
    where[np.arange(layers)[:, None], held, nth] = np.arange(slots)
    return held, where, counts


def packed(weights: Floats, packs: int) -> tuple[Ints, Ints]:
    """Equal numbers of items to each pack, the heaviest first to the lightest pack with room.

    weights: `[rows, items]`. Returns the pack of each item and its place there. One item a pack
    stays in order.
    """
    rows, items = weights.shape
    each = items // packs
    pack, place = np.tile(np.arange(items), (rows, 1)), np.zeros((rows, items), np.int64)
    if each == 1:
        return pack, place
    filled, load = np.zeros((rows, packs), np.int64), np.zeros((rows, packs), np.float32)
    row = np.arange(rows)
    for item in np.argsort(-weights, axis=1, kind="stable").T:
        target = np.where(filled < each, load, np.inf).argmin(axis=1)
        pack[row, item], place[row, item] = target, filled[row, target]
        load[row, target] += weights[row, item]
        filled[row, target] += 1
    return pack, place


def replicated(weights: Floats, slots: int) -> tuple[Ints, Ints, Ints]:
    """A slot for each expert, then one more for the expert with the heaviest copies, and again.

    weights: `[rows, experts]`. Returns the expert of each slot and the how-manieth copy it is
    `[rows, slots]`, and the copies `[rows, experts]`.
    """
    rows, experts = weights.shape
    row = np.arange(rows)
    held, nth = np.tile(np.arange(slots), (rows, 1)), np.zeros((rows, slots), np.int64)
    copies = np.ones((rows, experts), np.int64)
    for slot in range(experts, slots):
        heaviest = np.divide(weights, copies, dtype=np.float32).argmax(axis=1)
        held[:, slot], nth[:, slot] = heaviest, copies[row, heaviest]
        copies[row, heaviest] += 1
    return held, nth, copies
