"""Copies: ours against EPLB as published, at 58 layers x 256 experts, 288 slots, 32 ranks, 4 nodes.

EPLB here is our reimplementation, all layers at once: its seconds are far below those of the
published file. Times are CPU seconds.
"""

from __future__ import annotations

import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from moesaic.placement import Problem
from moesaic.placement.objective import duplicates, imbalance, moved
from moesaic.placement.solvers.eplb import eplb, eplb_global
from moesaic.placement.solvers.found import Found, Method
from moesaic.placement.solvers.rebalance import rebalance
from moesaic.placement.solvers.replicas import replicas, replicas_by_node, replicas_near_node

LAYERS, EXPERTS, RANKS = 58, 256, 32
KINDS = ("zipf 0.5", "zipf 1.0", "lognormal 0.5", "lognormal 1.0", "uniform")
DRIFTS = (0.1, 0.3)


def loads_of(kind: str, seed: int = 0) -> NDArray[np.float64]:
    """Token counts of one kind, `[layers, experts]`."""
    rng = np.random.default_rng(seed)
    name, _, power = kind.partition(" ")
    if name == "zipf":
        row = 1e6 / np.arange(1, EXPERTS + 1) ** float(power)
        return np.stack([rng.permutation(row) for _ in range(LAYERS)])
    if name == "lognormal":
        return rng.lognormal(0, float(power), (LAYERS, EXPERTS))
    return rng.integers(1, 1000, (LAYERS, EXPERTS)).astype(np.float64)


def problem_of(loads: NDArray[np.float64], per_rank: int = 9) -> Problem:
    return Problem(
        loads=loads,
        layers=tuple(range(LAYERS)),
        ranks=RANKS,
        slots_per_rank=np.full(RANKS, per_rank),
        ranks_per_node=8,
        groups=8,
    )


def run(problem: Problem, method: Method) -> tuple[Found, float]:
    """What it found, and its CPU seconds."""
    begin = time.process_time()
    found = method(problem, 10.0, 0)
    seconds = time.process_time() - begin
    return found if isinstance(found, Found) else Found(found), seconds


def row(
    name: str, value: float, unit: str, peer: str, peer_value: float, *, less: bool = False
) -> dict[str, object]:
    ratio = peer_value / value if less else value / peer_value
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
    }


def balance(found: Found, problem: Problem) -> NDArray[np.float64]:
    """Mean over busiest rank, as engines print it: `[layers]`."""
    return 1 / imbalance(found.expert_map, problem.loads)


def fresh(kind: str) -> list[dict[str, object]]:
    problem = problem_of(loads_of(kind))
    (ours, ours_s), (theirs, theirs_s) = (run(problem, m) for m in (replicas, eplb_global))
    wide = problem_of(problem.loads, 10)
    by_node, node_s = run(problem, replicas_by_node)
    near, near_s = run(problem, replicas_near_node)
    eplb_node = run(problem, eplb)[0]
    mine = balance(ours, problem)
    twice = int(duplicates(theirs.expert_map).sum())
    assert duplicates(ours.expert_map).sum() == 0
    return [
        row(
            f"{kind}: worst layer's mean / busiest, 288 slots",
            float(mine.min()),
            "",
            f"EPLB global ({twice} slots twice on a rank)",
            float(balance(theirs, problem).min()),
        ),
        row(
            f"{kind}: mean layer, 288 slots",
            float(mine.mean()),
            "",
            "EPLB global with 320 slots",
            float(balance(run(wide, eplb_global)[0], wide).mean()),
        ),
        row(f"{kind}: CPU seconds", ours_s, "s", "EPLB global", theirs_s, less=True),
        row(
            f"{kind}: by node, mean layer ({node_s:.3f} s)",
            float(balance(by_node, problem).mean()),
            "",
            "EPLB hierarchical",
            float(balance(eplb_node, problem).mean()),
        ),
        row(
            f"{kind}: near its node, mean layer ({near_s:.3f} s)",
            float(balance(near, problem).mean()),
            "",
            "EPLB hierarchical",
            float(balance(eplb_node, problem).mean()),
        ),
    ]


def drifted(drift: float) -> list[dict[str, object]]:
    """Loads change by lognormal factors after EPLB placed them: a tenth of its moves for ours."""
    before = problem_of(loads_of("lognormal 0.5"))
    current = eplb_global(before, 1.0, 0).expert_map
    factors = np.random.default_rng(1).lognormal(0, drift, before.loads.shape)
    after = msgspec.structs.replace(before, loads=before.loads * factors, current=current)
    theirs = eplb_global(after, 1.0, 0)
    moves = int(moved(theirs.expert_map, current).sum())
    ours, seconds = run(msgspec.structs.replace(after, most_moves=moves // 10), rebalance)
    name = f"drift {drift:.0%}, {moves // 10} moves ({seconds:.1f} s)"
    mine, other = balance(ours, after), balance(theirs, after)
    peer = f"EPLB global anew, {moves} moves"
    return [
        row(f"{name}: worst layer", float(mine.min()), "", peer, float(other.min())),
        row(f"{name}: mean layer", float(mine.mean()), "", peer, float(other.mean())),
    ]


def main() -> list[dict[str, object]]:
    rows = [line for kind in KINDS for line in fresh(kind)]
    return rows + [line for drift in DRIFTS for line in drifted(drift)]
