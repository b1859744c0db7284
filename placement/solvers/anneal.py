"""Annealing of whole maps by swaps, in C++ (csrc/anneal/hops), under a hard cap on every rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import _core
from ...workload import ExpertMap, RoutingTrace
from ...workload.statistics import co_activation
from ..problem import Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

SWAPS_PER_SECOND = 1.2e7
"""Swaps tried in a second on one shared x86 core (64 to 256 experts): it turns a time into a number
of sweeps, so that the same question gets the same answer on any machine."""
TRIES = 20
"""Swaps tried for each item of a layer before the next layer has its turn."""
HOT, COLD = 1.0, 0.03
"""First and last temperature, in mean losses of a random swap; found on drawn traces."""
SAMPLES = 20_000


def annealed(
    problem: Problem,
    homes: Ints,
    held: Ints,
    limit: Floats,
    seconds: float,
    seed: int,
) -> tuple[Ints, bool]:
    """`homes [moe_layers, items]` after annealing, and whether it was stopped by hand.

    held: `[moe_layers, items]`, the expert of each item, more than one item where it has copies.
    limit: `[moe_layers]`, the load that no rank goes above. What counts is the price of hops,
    fan-out and moves by `problem.weights`.
    """
    engine = _engine(problem, homes, held, limit, seed)
    scale = engine.mean_loss(SAMPLES)
    sweeps = max(2, int(seconds * SWAPS_PER_SECOND / (TRIES * homes.size)))
    interrupted = False
    try:
        for sweep in range(sweeps if scale > 0 else 0):
            engine.sweep(scale * HOT * (COLD / HOT) ** (sweep / (sweeps - 1)), TRIES)
    except KeyboardInterrupt:
        interrupted = True
    engine.descend(least=scale * 1e-9, most=homes.size * 100)
    return engine.homes(), interrupted


def _engine(problem: Problem, homes: Ints, held: Ints, limit: Floats, seed: int) -> _core.HopAnneal:
    weights, beyond = problem.weights, problem.node_cost - 1
    flow, loads = _of_items(problem, held)
    return _core.HopAnneal(
        flow=flow,
        loads=loads,
        limit=np.ascontiguousarray(limit, np.float64),
        held=held,
        homes=homes,
        ranks=problem.ranks,
        node_ranks=problem.node_ranks,
        pairs=_pairs(problem, held) if weights.fan_out else None,
        bias=_bias(problem, held) if weights.moves and problem.current is not None else None,
        flow_rank=weights.hops,
        flow_node=weights.hops * beyond,
        pair_rank=weights.fan_out,
        pair_node=weights.fan_out * beyond,
        seed=seed,
    )


def _of_items(problem: Problem, held: Ints) -> tuple[Floats, Floats]:
    """Transitions and loads of items: the copies of an expert share what it has evenly."""
    rows = np.arange(len(held))[:, None]
    copies = np.zeros(problem.loads.shape)
    np.add.at(copies, (rows, held), 1.0)
    part = 1.0 / copies[rows, held]
    loads = problem.loads[rows, held] * part
    if problem.transitions is None:
        return np.zeros((len(held) - 1, held.shape[1], held.shape[1])), loads
    flow = np.stack(
        [
            moved[np.ix_(here, after)] * np.outer(mine, theirs)
            for moved, here, after, mine, theirs in zip(
                problem.transitions, held, held[1:], part, part[1:], strict=False
            )
        ]
    )
    return np.ascontiguousarray(flow), loads


def _pairs(problem: Problem, held: Ints) -> Floats:
    """Tokens that take both items: a pair that lives together saves a token one rank to visit."""
    assert problem.routing is not None
    trace = RoutingTrace(expert_ids=problem.routing, experts=problem.experts, layers=problem.layers)
    together = co_activation(trace).astype(np.float64)
    out = np.stack([pairs[np.ix_(row, row)] for pairs, row in zip(together, held, strict=True)])
    out[held[:, :, None] == held[:, None, :]] = 0.0
    return np.ascontiguousarray(out)


def _bias(problem: Problem, held: Ints) -> Floats:
    """What a rank gains by an item that it holds already: `[moe_layers, ranks, items]`."""
    current = problem.current
    assert isinstance(current, ExpertMap)
    there = np.zeros((len(held), problem.ranks, problem.experts))
    rows = np.arange(len(held))[:, None]
    there[rows, current.ranks[None, :], current.slots] = problem.weights.moves
    wanted = held[:, None, :].astype(np.int64)
    return np.ascontiguousarray(np.take_along_axis(there, wanted, axis=2))


def swept_reference(
    engine: dict[str, Any], temperature: float, tries: int, state: int
) -> tuple[Ints, int]:
    """One sweep of the engine written plainly, from its keyword arguments: (homes, next state).

    Every gain is the difference of two whole objectives. Equal to `HopAnneal.sweep`, swap by swap.
    """
    homes, items = engine["homes"].copy(), engine["homes"].shape[1]
    for layer in range(len(homes)):
        for _ in range(tries * items):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            draw = _mixed(state)
            a, b = ((draw >> shift & 0xFFFFFF) * items >> 24 for shift in (0, 24))
            trial = homes.copy()
            trial[layer, [a, b]] = homes[layer, [b, a]]
            same = [row[layer, a] == row[layer, b] for row in (homes, engine["held"])]
            if any(same) or not _fits(engine, homes, trial, layer):
                continue
            gain = _objective(engine, trial) - _objective(engine, homes)
            if gain >= 0 or gain > temperature * np.log(((draw >> 52) + 0.5) / 4096):
                homes = trial
    return homes, state


def _mixed(z: int) -> int:
    """splitmix64's output function."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def _objective(engine: dict[str, Any], homes: Ints) -> float:
    """What is kept, met and liked, at its weights."""
    nodes, out = homes // engine["node_ranks"], 0.0
    for row, flow in enumerate(engine["flow"]):
        for where, weight in ((homes, engine["flow_rank"]), (nodes, engine["flow_node"])):
            out += weight * float(flow[where[row][:, None] == where[row + 1]].sum())
    for row in range(len(homes)):
        if engine["pairs"] is not None:
            for where, weight in ((homes, engine["pair_rank"]), (nodes, engine["pair_node"])):
                together = where[row][:, None] == where[row]
                out += weight * float(engine["pairs"][row][together].sum()) / 2
        if engine["bias"] is not None:
            out += float(engine["bias"][row, homes[row], np.arange(homes.shape[1])].sum())
    return out


def _fits(engine: dict[str, Any], before: Ints, after: Ints, row: int) -> bool:
    """No rank gains load above its limit, and none holds an expert twice."""
    loads, held, ranks = engine["loads"][row], engine["held"][row], engine["ranks"]
    old, new = (np.bincount(homes[row], loads, minlength=ranks) for homes in (before, after))
    if ((new > old) & (new > engine["limit"][row])).any():
        return False
    seen = set(zip(after[row].tolist(), held.tolist(), strict=True))
    return len(seen) == len(held)
