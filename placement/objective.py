"""What a placement costs, in counts: less is better. Four prices, kept apart.

Balance: what the busiest rank has to do. Hops: the chain of a token's experts, layer by layer (it
moves bytes where the token's state stays with its expert, arXiv 2401.08383). Fan-out: ranks that a
token is sent to in a layer (it moves bytes where tokens return to their home rank). Moves: experts
that a rank must load anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..workload import ExpertMap
from .problem import Problem

Floats = NDArray[np.float64]


def imbalance(expert_map: ExpertMap, loads: Floats) -> Floats:
    """Busiest over mean rank, `[moe_layers]`; SGLang and vLLM print its inverse."""
    rank_loads = expert_map.rank_loads(loads)
    return np.asarray(rank_loads.max(axis=1) / rank_loads.mean(axis=1))


def activated(expert_map: ExpertMap, loads: Floats) -> Floats:
    """Slots with any load on the rank that has most of them, `[moe_layers]`.

    They are the weights read in a memory-bound step (arXiv 2512.09277). Over a long trace every
    expert is met and this is the slot count: give it the loads of one step.
    """
    rows = np.arange(len(loads))[:, None]
    out = np.zeros((len(loads), expert_map.devices))
    np.add.at(out, (rows, expert_map.ranks[None, :]), loads[rows, expert_map.slots] > 0)
    return np.asarray(out.max(axis=1))


def shares(expert_map: ExpertMap, row: int, group: int = 1) -> Floats:
    """The share of each expert that each run of `group` ranks serves: `[experts, groups]`.

    Copies share evenly, so this is copies on the group / copies.
    """
    count = np.zeros((expert_map.experts, -(-expert_map.devices // group)))
    np.add.at(count, (expert_map.slots[row], expert_map.ranks // group), 1.0)
    return np.asarray(count / count.sum(axis=1, keepdims=True))


def kept(expert_map: ExpertMap, transitions: Floats, group: int = 1) -> Floats:
    """Assignments that find their next expert on the same run of `group` ranks: `[layers - 1]`.

    `transitions [layers - 1, experts, experts]`; copies are chosen evenly and independently.
    """
    served = [shares(expert_map, row, group) for row in range(len(expert_map.layers))]
    return np.array(
        [
            float(((here.T @ flow) * after.T).sum())
            for here, flow, after in zip(served, transitions, served[1:], strict=False)
        ]
    )


def hop_share(expert_map: ExpertMap, transitions: Floats, group: int = 1) -> float:
    """Share of all transitions that leave their run of `group` ranks (1: the rank itself)."""
    return 1.0 - float(kept(expert_map, transitions, group).sum() / transitions.sum())


def fan_out(expert_map: ExpertMap, routing: NDArray[np.int16], group: int = 1) -> Floats:
    """Distinct runs of `group` ranks that a token's experts lie on, mean over tokens, `[layers]`.

    routing: `[tokens, layers, top_k]`. The copies of an expert take tokens in turn.
    """
    out = np.zeros(len(expert_map.layers))
    turn = np.arange(len(routing))[:, None]
    for row in range(len(out)):
        copies, home = _homes(expert_map, row, group)
        ids = routing[:, row].astype(np.int64)
        met = np.where(ids < 0, -1, home[ids, turn % copies[ids]])
        met.sort(axis=1)
        new = np.diff(met, axis=1, prepend=-1) != 0
        out[row] = new.sum() / len(routing)
    return out


def _homes(
    expert_map: ExpertMap, row: int, group: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Copies of each expert `[experts]`, and the rank group of each copy `[experts, most]`."""
    order = np.argsort(expert_map.slots[row], kind="stable")
    copies = np.bincount(expert_map.slots[row], minlength=expert_map.experts)
    first = np.cumsum(copies) - copies
    place = first[:, None] + np.minimum(np.arange(copies.max()), copies[:, None] - 1)
    return copies, (expert_map.ranks[order] // group).astype(np.int64)[place]


def duplicates(expert_map: ExpertMap) -> NDArray[np.int64]:
    """Slots that repeat an expert which their rank already holds, `[moe_layers]`: wasted memory."""
    rows = np.arange(len(expert_map.layers))[:, None]
    held = np.zeros((len(rows), expert_map.devices, expert_map.experts), bool)
    held[rows, expert_map.ranks[None, :], expert_map.slots] = True
    return np.asarray(expert_map.slots.shape[1] - held.sum(axis=(1, 2)))


def moved(expert_map: ExpertMap, current: ExpertMap) -> NDArray[np.int64]:
    """Experts that come to a rank which does not hold them now: `[moe_layers]`."""
    out = np.zeros(len(expert_map.layers), np.int64)
    for row in range(len(out)):
        held = set(zip(current.slots[row].tolist(), current.ranks.tolist(), strict=True))
        asked = set(zip(expert_map.slots[row].tolist(), expert_map.ranks.tolist(), strict=True))
        out[row] = len(asked - held)
    return out


def _balance(expert_map: ExpertMap, problem: Problem) -> dict[str, float]:
    ratio = imbalance(expert_map, problem.loads)
    busiest = activated(expert_map, problem.loads)
    twice = {"duplicates": float(duplicates(expert_map).sum())} if problem.has_copies else {}
    return {
        "imbalance_worst": float(ratio.max()),
        "imbalance_mean": float(ratio.mean()),
        "activated_worst": float(busiest.max()),
        "activated_mean": float(busiest.mean()),
        **twice,
    }


def _hops(expert_map: ExpertMap, problem: Problem) -> dict[str, float]:
    if problem.transitions is None or not problem.transitions.any():
        return {}
    found = {"hops": hop_share(expert_map, problem.transitions)}
    if problem.nodes > 1:
        found["node_hops"] = hop_share(expert_map, problem.transitions, problem.node_ranks)
    return found


def _fan_out(expert_map: ExpertMap, problem: Problem) -> dict[str, float]:
    if problem.routing is None:
        return {}
    found = {"fan_out": float(fan_out(expert_map, problem.routing).mean())}
    if problem.nodes > 1:
        per_node = fan_out(expert_map, problem.routing, problem.node_ranks)
        found["node_fan_out"] = float(per_node.mean())
    return found


def _moves(expert_map: ExpertMap, problem: Problem) -> dict[str, float]:
    if problem.current is None:
        return {}
    found = {"moved": float(moved(expert_map, problem.current).sum())}
    if problem.expert_bytes is not None:
        found["moved_bytes"] = found["moved"] * problem.expert_bytes
    return found


PRICES: dict[str, Callable[[ExpertMap, Problem], dict[str, float]]] = {
    "balance": _balance,
    "hops": _hops,
    "fan-out": _fan_out,
    "moves": _moves,
}
"""Price -> its numbers by name; none where the problem does not tell what it needs."""


def score(expert_map: ExpertMap, problem: Problem) -> dict[str, float]:
    """Every price of a map on the routing of `problem`, which may be other than it was made for."""
    scores: dict[str, float] = {}
    for price in PRICES.values():
        scores |= price(expert_map, problem)
    return scores
