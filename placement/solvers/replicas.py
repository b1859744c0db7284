"""Ours with copies: as many as the heaviest share asks for, none twice on a rank, then swaps.

The counts are exact (each copy only matters for its own expert, so giving the next one to the
heaviest share is best); where they go is largest first and swaps with the busiest rank, in
csrc/anneal/replicas.cpp. With one slot for each expert this is LPT with swaps.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ...base import BadInput
from ...workload import ExpertMap
from ..problem import Problem
from .ease import Reference, eased
from .eplb import groups_of, packed
from .found import Found
from .simple import MOST_SWAPS

Floats = NDArray[np.float64]
Held = NDArray[np.int32]

COARSE = 0.002
"""Above the mean by more than this, a busiest rank is worth the slower search over counts."""
NEAR = 1.01
"""The balance that `replicas_near_node` leaves its nodes for."""
TRIALS = 4
"""Other limits on the copies of one expert that are then tried: ranks, ranks - 1, ..."""


def replicas(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Copies of any expert on any rank."""
    _demand_even(problem)
    return _found(problem, placed(problem.loads, problem.slots_per_rank))


def replicas_by_node(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Groups of experts stay inside a node, so that a token's groups bound its nodes.

    Groups go to nodes largest first, then by swaps; each node is then a problem of its own. No
    layer gets below the heaviest node's mean rank.
    """
    return _found(problem, _by_node(problem))


def replicas_near_node(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """The same, and then as few experts elsewhere as the cap takes (without one, `NEAR` of the
    mean), for groups whose totals are too far apart for their nodes."""
    held, caps = _by_node(problem), problem.caps
    targets = np.where(np.isfinite(caps), caps, NEAR) * problem.mean_loads
    near = eased(problem.loads, held, problem.slot_ranks, problem.ranks, targets, priced=True)
    away = int(near.moved[:, -1].sum())
    told = (f"{away} slots hold an expert that its node alone would have elsewhere",)
    return _found(problem, near.held, told if away else ())


def _by_node(problem: Problem) -> Held:
    _demand_even(problem)
    nodes, groups = problem.nodes, groups_of(problem)
    if groups % nodes or (problem.slots_per_rank != problem.slots_per_rank[0]).any():
        raise BadInput(
            f"{nodes} nodes cannot share {groups} groups evenly with equal slots: give groups that "
            "they divide, or use replicas",
            key="groups",
        )
    members = node_members(problem.loads, groups, nodes)
    layers = len(problem.layers)
    local = np.take_along_axis(problem.loads, members.reshape(layers, -1), 1)
    room = problem.slots_per_rank[: problem.node_ranks]
    inside = placed(local.reshape(layers * nodes, -1), room).astype(np.int64)
    held = np.take_along_axis(members.reshape(layers * nodes, -1), inside, 1)
    return held.reshape(layers, -1).astype(np.int32)


def node_members(loads: Floats, groups: int, nodes: int) -> NDArray[np.int64]:
    """The experts of each node, whole groups of neighbours: `[layers, nodes, experts / nodes]`.

    Largest group first, then swaps of two groups; exact for one or two groups a node (the heaviest
    with the lightest), as any other pairing has a pair at least as heavy.
    """
    layers, experts = loads.shape
    size = experts // groups
    totals = np.ascontiguousarray(loads.reshape(layers, groups, size).sum(axis=2))
    start = packed(totals, nodes)[0].astype(np.int32)
    home, _ = _core.balance_swaps(totals, start, nodes, MOST_SWAPS)
    order = np.argsort(home, axis=1, kind="stable")
    members = order[:, :, None] * size + np.arange(size)
    return np.asarray(members.reshape(layers, nodes, -1))


def _demand_even(problem: Problem) -> None:
    if problem.has_copies and (problem.slots_per_rank != problem.slots_per_rank[0]).any():
        raise BadInput("copies need as many slots on each rank", key="slots_per_rank")


def placed(loads: Floats, room: NDArray[np.int64]) -> Held:
    """The expert of each slot, rank by rank: loads `[layers, experts]` -> `[layers, slots]`.

    Counts and swaps; where that leaves a rank far above the mean, fewer copies of the hottest
    experts are tried, and steps that change the counts: with few big copies the lightest shares are
    not the ones that pack best.
    """
    return _best_of(loads, room, _compiled)


Place = Callable[[Floats, NDArray[np.int64], int, bool], Held]
"""(loads, room, most copies of one, whether counts may change after) -> slots."""


def _best_of(loads: Floats, room: NDArray[np.int64], place: Place) -> Held:
    ranks, slots = len(room), int(room.sum())
    held = place(loads, room, ranks, False)
    rank_of = np.repeat(np.arange(ranks, dtype=np.int32), room)
    busiest = _busiest(loads, held, rank_of, ranks)
    coarse = np.flatnonzero(busiest > loads.sum(axis=1) / ranks * (1 + COARSE))
    if not len(coarse) or slots == loads.shape[1]:
        return held
    fewest = -(-slots // loads.shape[1])
    for most in range(ranks, max(fewest, ranks - TRIALS) - 1, -1):
        other = place(loads[coarse], room, most, True)
        found = _busiest(loads[coarse], other, rank_of, ranks)
        better = found < busiest[coarse]
        held[coarse[better]], busiest[coarse[better]] = other[better], found[better]
    return held


def _compiled(loads: Floats, room: NDArray[np.int64], most: int, ease: bool) -> Held:
    held = _core.place_replicas(np.ascontiguousarray(loads), room, most, MOST_SWAPS)[0]
    if not ease:
        return held
    ranks = len(room)
    rank_of = np.repeat(np.arange(ranks, dtype=np.int32), room)
    return eased(loads, held, rank_of, ranks, loads.sum(axis=1) / ranks, priced=False).held


def _busiest(loads: Floats, held: Held, rank_of: Held, ranks: int) -> Floats:
    row = np.arange(len(loads))[:, None]
    copies, on_rank = np.zeros(loads.shape), np.zeros((len(loads), ranks))
    np.add.at(copies, (row, held), 1.0)
    np.add.at(on_rank, (row, rank_of[None, :]), (loads / copies)[row, held])
    return np.asarray(on_rank.max(axis=1))


def _found(problem: Problem, held: Held, notes: tuple[str, ...] = ()) -> Found:
    expert_map = ExpertMap(
        slots=held, ranks=problem.slot_ranks, layers=problem.layers, experts=problem.experts
    )
    return Found(expert_map, notes=notes)


def copy_counts(loads: Floats, slots: int, most: int) -> NDArray[np.int64]:
    """Copies of each expert of a layer, at most `most`: loads `[experts]` -> `[experts]`."""
    copies = np.ones(len(loads), np.int64)
    heap = [(-float(load), e) for e, load in enumerate(loads)] if most > 1 else []
    heapq.heapify(heap)
    for _ in range(slots - len(loads)):
        _, e = heapq.heappop(heap)
        copies[e] += 1
        if copies[e] < most:
            heapq.heappush(heap, (-float(loads[e]) / int(copies[e]), e))
    return copies


def placed_reference(loads: Floats, room: NDArray[np.int64]) -> Held:
    """`placed` without the compiled parts, equal to it bit by bit: `[layers, slots]`."""
    return _best_of(loads, room, _plain)


def _plain(loads: Floats, room: NDArray[np.int64], most: int, ease: bool) -> Held:
    ranks = len(room)
    rank_of = np.repeat(np.arange(ranks, dtype=np.int32), room)
    held = np.empty((len(loads), len(rank_of)), np.int32)
    for i, (row, mean) in enumerate(zip(loads, loads.sum(axis=1) / ranks, strict=True)):
        held[i] = _layer_reference(row, room, most)
        if ease:
            layer = Reference(row, held[i], rank_of, ranks, float(mean), priced=False)
            layer.run()
            held[i] = layer.held
    return held


def _layer_reference(loads: Floats, room: NDArray[np.int64], most: int) -> list[int]:
    ranks = len(room)
    copies = copy_counts(loads, int(room.sum()), most)
    share: list[float] = (loads / copies).tolist()
    on: list[list[int]] = [[] for _ in range(ranks)]
    load = [0.0] * ranks
    for e in np.argsort(-np.array(share), kind="stable").tolist():
        for _ in range(int(copies[e])):
            able = [r for r in range(ranks) if len(on[r]) < room[r] and e not in on[r]]
            target = (
                min(able, key=load.__getitem__) if able else _make_room(e, on, load, share, room)
            )
            on[target].append(e)
            load[target] += share[e]
    while _swap(on, load, share):
        pass
    return [e for rank in on for e in rank]


def _make_room(
    expert: int, on: list[list[int]], load: list[float], share: list[float], room: NDArray[np.int64]
) -> int:
    """Every rank with a slot holds the expert: one of another rank goes there instead."""
    free = next(r for r in range(len(on)) if len(on[r]) < room[r])
    target = min((r for r in range(len(on)) if expert not in on[r]), key=load.__getitem__)
    leaving = next(e for e in on[target] if e not in on[free])
    on[target].remove(leaving)
    load[target] -= share[leaving]
    on[free].append(leaving)
    load[free] += share[leaving]
    return target


def _swap(on: list[list[int]], load: list[float], share: list[float]) -> bool:
    heavy = int(np.argmax(load))
    best, where = np.inf, (0, 0, 0)
    for r, others in enumerate(on):
        if r == heavy or (load[heavy] + load[r]) / 2 >= best:
            continue
        for i, mine in enumerate(on[heavy]):
            for j, other in enumerate(others):
                moved = share[mine] - share[other]
                if moved > 0 and mine not in others and other not in on[heavy]:
                    heavier = max(load[heavy] - moved, load[r] + moved)
                    if heavier < best:
                        best, where = heavier, (i, r, j)
    if not best < load[heavy] * (1 - 1e-12):
        return False
    i, r, j = where
    moved = share[on[heavy][i]] - share[on[r][j]]
    load[heavy] -= moved
    load[r] += moved
    on[heavy][i], on[r][j] = on[r][j], on[heavy][i]
    return True
