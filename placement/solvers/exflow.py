"""ExFlow's integer programme (arXiv 2401.08383): the fewest hops between layers, loads ignored.

Published: a 0/1 cost for each token and step, at least |x[expert, part] - x[next, part]| for every
part, with equal expert counts; solved by recursive halving, or nodes first and then their ranks.
Tokens that take the same step share one cost here, weighted by their number: the same optimum.
Each halving starts from a local search (exact layer by layer); CP-SAT then has its share of the
time, where the model is small enough to build. There is no cap in it: set none for this method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..problem import Problem
from .cp_sat import searched
from .found import Found, as_map, demand_single

Floats = NDArray[np.float64]
Sides = NDArray[np.bool_]

WORK_PER_SECOND = 0.25
"""CP-SAT's deterministic time granted for a second of the limit, as in exact_small."""
MOST_STEPS = 60_000
"""Distinct steps of tokens beyond which the integer programme is not built: it finds nothing then
(24 x 64 experts on 8 ranks: none in 60 s)."""
STARTS = 8
SWEEPS = 100


def exflow(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Halves the ranks and with them each layer's experts, until each rank stands alone.

    Ranks are neighbours, so nodes come apart before the ranks inside them (where nodes are a power
    of two). Notes say how many halvings the integer programme bettered, proved, or could not try.
    Stopped by hand, the halvings left take experts as they come.
    """
    demand_single(problem, "ExFlow")
    if problem.transitions is None:
        raise BadInput(
            "ExFlow needs to know which expert follows which: give a trace, or counts with "
            "transitions between neighbouring layers",
            key="transitions",
        )
    tally = {"bettered": 0, "proven": 0, "not tried": 0}
    homes = np.zeros(problem.loads.shape, np.int32)
    rng = np.random.default_rng(seed)
    pending = [(0, problem.ranks)]
    halvings, interrupted = problem.ranks - 1, False
    while pending:
        first, last = pending.pop(0)
        if last - first < 2:
            continue
        middle = _middle(first, last, problem.node_ranks)
        inside = _members(homes, first, problem.slots_per_rank[first:last].sum())
        sizes = int(problem.slots_per_rank[middle:last].sum())
        flows = _between(problem.transitions, inside)
        sides = np.tile(np.arange(inside.shape[1]) < sizes, (len(homes), 1))
        try:
            if not interrupted:
                sides = halved(flows, inside.shape[1], sizes, rng)
                sides = _improved(flows, sides, sizes, time_limit_s / halvings, seed, tally)
        except KeyboardInterrupt:
            interrupted = True
        rows = np.arange(len(homes))[:, None]
        homes[rows, inside] = np.where(sides, middle, first)
        pending += [(first, middle), (middle, last)]
    said = ", ".join(f"{count} {what}" for what, count in tally.items())
    note = f"of {halvings} halvings by CP-SAT: {said}"
    return Found(as_map(problem, homes), interrupted=interrupted, notes=(note,))


def _middle(first: int, last: int, node_ranks: int) -> int:
    """Half way, at a border of nodes where the run holds several."""
    if last - first > node_ranks:
        return first + (last - first) // node_ranks // 2 * node_ranks
    return (first + last) // 2


def _members(homes: NDArray[np.int32], rank: int, count: int) -> NDArray[np.int64]:
    """The experts that are at `rank` for now: `[layers, count]`."""
    return np.argsort(homes != rank, axis=1, kind="stable")[:, :count]


def _between(transitions: Floats, inside: NDArray[np.int64]) -> list[Floats]:
    pairs = zip(transitions, inside, inside[1:], strict=False)
    return [np.asarray(flow[np.ix_(here, after)]) for flow, here, after in pairs]


def kept(flows: list[Floats], sides: Sides) -> float:
    """Assignments that stay on their side; sides `[layers, experts]`."""
    signs = np.where(sides, 1.0, -1.0)
    pairs = zip(signs, flows, signs[1:], strict=False)
    return sum((float(a @ flow @ b) + float(flow.sum())) / 2 for a, flow, b in pairs)


def halved(flows: list[Floats], experts: int, ones: int, rng: np.random.Generator) -> Sides:
    """The side of each expert, `ones` of each layer on side 1: the best of a few local searches.

    For given neighbours a layer's best side 1 is its `ones` experts with the strongest pull there:
    exact, so each sweep only gains.
    """
    best, most = np.zeros((len(flows) + 1, experts), bool), -1.0
    for _ in range(STARTS):
        sides = np.zeros((len(flows) + 1, experts), bool)
        for row in sides:
            row[rng.permutation(experts)[:ones]] = True
        found = _settled(flows, sides, ones)
        value = kept(flows, found)
        if value > most:
            best, most = found, value
    return best


def _settled(flows: list[Floats], sides: Sides, ones: int) -> Sides:
    value = kept(flows, sides)
    for _ in range(SWEEPS):
        for row in range(len(sides)):
            pull = np.zeros(sides.shape[1])
            if row > 0:
                pull += np.where(sides[row - 1], 1.0, -1.0) @ flows[row - 1]
            if row < len(flows):
                pull += flows[row] @ np.where(sides[row + 1], 1.0, -1.0)
            sides[row] = False
            sides[row, np.argsort(-pull, kind="stable")[:ones]] = True
        now = kept(flows, sides)
        if now <= value * (1 + 1e-12):
            break
        value = now
    return sides


def _improved(
    flows: list[Floats], sides: Sides, ones: int, time_s: float, seed: int, tally: dict[str, int]
) -> Sides:
    """The integer programme from this start; the start where it finds nothing better."""
    if sum(np.count_nonzero(flow) for flow in flows) > MOST_STEPS:
        tally["not tried"] += 1
        return sides
    found, proven = _searched(flows, sides, ones, time_s, seed)
    tally["proven"] += proven
    if kept(flows, found) > kept(flows, sides) * (1 + 1e-12):
        tally["bettered"] += 1
        return found
    return sides


def _searched(
    flows: list[Floats], hint: Sides, ones: int, time_s: float, seed: int
) -> tuple[Sides, bool]:
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    side = [[model.new_bool_var("") for _ in row] for row in hint]
    for layer, hinted in zip(side, hint, strict=True):
        model.add(cp_model.LinearExpr.sum(layer) == ones)
        for x, value in zip(layer, hinted.tolist(), strict=True):
            model.add_hint(x, value)
    costs, weights = _hops(model, side, flows)
    model.minimize(cp_model.LinearExpr.weighted_sum(costs, weights))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed % 2**31
    solver.parameters.max_deterministic_time = time_s * WORK_PER_SECOND
    solver.parameters.max_time_in_seconds = time_s
    status = searched(solver, model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, False
    found = np.array([[solver.boolean_value(x) for x in row] for row in side])
    return found, status == cp_model.OPTIMAL


def _hops(model: Any, side: list[list[Any]], flows: list[Floats]) -> tuple[list[Any], list[int]]:
    """A 0/1 cost for each step, 1 where its ends are apart, and its weight as a whole number."""
    scale = 2**40 / max(sum(float(flow.sum()) for flow in flows), 1e-300)
    costs, weights = [], []
    for row, flow in enumerate(flows):
        for i, j in np.argwhere(flow > 0).tolist():
            weight = round(float(flow[i, j]) * scale)
            if weight:
                apart = model.new_bool_var("")
                model.add(apart >= side[row][i] - side[row + 1][j])
                model.add(apart >= side[row + 1][j] - side[row][i])
                costs.append(apart)
                weights.append(weight)
    return costs, weights
