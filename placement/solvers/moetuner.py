"""MoETuner's two integer programmes (arXiv 2502.06643), by CP-SAT instead of Gurobi.

Stage 1, each layer alone: experts into clusters, least sum of |cluster load - mean|. Stage 2:
clusters onto ranks, least sum over pairs of layers of the worst link's flow / bandwidth. Both stop
at the published relative gap of 0.025.

Taken differently: the published clusters may differ in size, with equal memory over all layers
together; here each holds what its rank has slots for in every layer, as an expert map needs (the
re-implementations known hold E / ranks too). Bandwidth is 1 / hop cost. Where all hops cost the
same stage 2 is not searched: `chain.names_by_worst_link` is its exact answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..placement import ROUNDING
from ..problem import Problem
from .chain import cluster_flows, names_by_worst_link, renamed, worst_links
from .cp_sat import searched
from .found import Found, as_map, demand_single
from .simple import lpt_homes, swapped

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Homes = NDArray[np.int32]

GAP = 0.025
WORK_PER_SECOND = 0.25
"""CP-SAT's deterministic time granted for a second of the limit, as in exact_small."""
MOST_LINKS = 400_000
"""Conditions of stage 2 (pairs x ranks^4) beyond which its model is not built."""
TOTAL = 2**30


def moetuner(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Clusters, then names; half of the time each. Notes say what ran out of it."""
    demand_single(problem, "MoETuner")
    homes, unproven, interrupted = clusters(problem, time_limit_s / 2, seed)
    late = f"stage 1: {unproven} layers without proof of a gap of {GAP:g}"
    notes: tuple[str, ...] = (late,) if unproven else ()
    placed = as_map(problem, homes)
    if problem.transitions is None or len(problem.layers) < 2:
        return Found(placed, interrupted=interrupted, notes=notes)
    links = cluster_flows(placed, problem.transitions)
    names = names_by_worst_link(links, problem.slots_per_rank)
    if problem.nodes > 1 and problem.node_cost > 1 and not interrupted:
        names, note = names_by_search(problem, links, names, time_limit_s / 2, seed)
        notes += note
    return Found(renamed(placed, names, problem), interrupted=interrupted, notes=notes)


def clusters(problem: Problem, time_limit_s: float, seed: int) -> tuple[Homes, int, bool]:
    """Stage 1: the cluster of each expert `[moe_layers, experts]`, how many layers ran out of time,
    and whether it was stopped by hand. The start is LPT with swaps; a layer without deviation is
    left as it is."""
    homes = swapped(problem, lpt_homes(problem))
    unproven, left, rows = 0, time_limit_s, len(problem.layers)
    for row in range(rows):
        try:
            found, proven, spent = _cluster(problem, row, homes[row], left, seed)
        except KeyboardInterrupt:
            return homes, unproven + rows - row, True
        if _deviation(problem, row, found) < _deviation(problem, row, homes[row]):
            homes[row] = found
        unproven += not proven
        left = max(0.0, left - spent)
    return homes, unproven, False


def _deviation(problem: Problem, row: int, homes: Homes) -> float:
    on_rank = np.bincount(homes, problem.loads[row], minlength=problem.ranks)
    return float(np.abs(on_rank - problem.mean_loads[row]).sum())


def _cluster(
    problem: Problem, row: int, hint: Homes, time_s: float, seed: int
) -> tuple[Homes, bool, float]:
    """(homes, whether the gap is proven, seconds of the limit spent)."""
    from ortools.sat.python import cp_model

    share = time_s / (len(problem.layers) - row)
    if _deviation(problem, row, hint) <= ROUNDING * problem.loads[row].sum():
        return hint, True, 0.0
    if share <= 0:
        return hint, False, 0.0
    loads = problem.loads[row]
    whole = np.round(loads * (TOTAL / loads.sum())).astype(np.int64)
    mean = int(whole.sum()) // problem.ranks
    model = cp_model.CpModel()
    ranks, experts = range(problem.ranks), range(problem.experts)
    lives = [[model.new_bool_var(f"{e} in {r}") for r in ranks] for e in experts]
    off = [model.new_int_var(0, int(whole.sum()), f"off {r}") for r in ranks]
    for e in experts:
        model.add_exactly_one(lives[e])
        model.add_hint(lives[e][int(hint[e])], True)
    for r in ranks:
        here = [lives[e][r] for e in experts]
        load = cp_model.LinearExpr.weighted_sum(here, whole.tolist())
        model.add(cp_model.LinearExpr.sum(here) == int(problem.slots_per_rank[r]))
        model.add(off[r] >= load - mean)
        model.add(off[r] >= mean - load)
    model.minimize(cp_model.LinearExpr.sum(off))
    solver = _solver(share, seed)
    status = searched(solver, model)
    spent = solver.response_proto.deterministic_time / WORK_PER_SECOND
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, False, spent
    homes = [[solver.boolean_value(lives[e][r]) for r in ranks] for e in experts]
    return np.asarray(homes).argmax(axis=1).astype(np.int32), status == cp_model.OPTIMAL, spent


def names_by_search(
    problem: Problem, links: Floats, hint: Ints, time_limit_s: float, seed: int
) -> tuple[Ints, tuple[str, ...]]:
    """Stage 2 on links of several speeds: the rank of each cluster `[moe_layers, ranks]`.

    Every pair of clusters that hops puts a floor under its pair of layers: exactly one pair of
    clusters uses a link, so no product is needed. Keeps the hint where nothing better is found.
    """
    from ortools.sat.python import cp_model

    ranks, layers = problem.ranks, len(hint)
    if (layers - 1) * ranks**4 > MOST_LINKS:
        return hint, (f"stage 2: {ranks} ranks are too many for its integer programme",)
    cost = problem.hop_costs()
    scale = TOTAL / max(float(links.max() * cost.max()), 1e-300)
    model = cp_model.CpModel()
    named = [[[model.new_bool_var("") for _ in range(ranks)] for _ in range(ranks)] for _ in hint]
    most = [model.new_int_var(0, 2 * TOTAL, "") for _ in links]
    for row, layer in enumerate(named):
        for cluster, choices in enumerate(layer):
            model.add_exactly_one(choices)
            model.add_hint(choices[int(hint[row, cluster])], True)
            for rank, name in enumerate(choices):
                if problem.slots_per_rank[cluster] != problem.slots_per_rank[rank]:
                    model.add(name == 0)
        for rank in range(ranks):
            model.add_exactly_one(choices[rank] for choices in layer)
    for row, flow in enumerate(np.round(links * scale)):
        _floor_links(model, most[row], named[row], named[row + 1], flow, cost)
    model.minimize(cp_model.LinearExpr.sum(most))
    solver = _solver(time_limit_s, seed)
    status = searched(solver, model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, ("stage 2: no naming found in time; that of equal links is kept",)
    names = np.array(
        [[[solver.boolean_value(y) for y in row] for row in layer] for layer in named]
    ).argmax(axis=2)
    if worst_links(links, names, cost).sum() > worst_links(links, hint, cost).sum():
        names = hint
    late = () if status == cp_model.OPTIMAL else (f"stage 2: a gap of {GAP:g} is not proven",)
    return names, late


def _floor_links(
    model: Any, most: Any, here: list[Any], after: list[Any], flow: Floats, cost: Floats
) -> None:
    ranks = range(len(cost))
    for cluster, following in np.argwhere(flow > 0).tolist():
        for a in ranks:
            for b in ranks:
                if cost[a, b] > 0:
                    floor = round(float(flow[cluster, following] * cost[a, b]))
                    both = [here[cluster][a], after[following][b]]
                    model.add(most >= floor).only_enforce_if(both)


def _solver(time_limit_s: float, seed: int) -> Any:
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed % 2**31
    solver.parameters.relative_gap_limit = GAP
    solver.parameters.max_deterministic_time = max(time_limit_s * WORK_PER_SECOND, 1e-3)
    solver.parameters.max_time_in_seconds = max(time_limit_s, 1e-3)
    return solver
