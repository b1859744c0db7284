"""Balance of small layers to proven optimality: one integer programme a layer, by CP-SAT."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds import best_load_proof
from ..placement import ROUNDING, Proof
from ..problem import Problem
from .cp_sat import searched
from .found import Found, as_map
from .simple import lpt_homes, swapped

WORK_PER_SECOND = 0.25
"""CP-SAT's deterministic time granted for a second of the limit. A unit took 2.0 to 2.6 s on one
shared x86 core (layers of 32 to 128 experts, ortools 9.15), so this ends before the clock does and
the answer is the same on any machine of that speed or faster."""
MOST_TOTAL = 2**40


def exact_small(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """LPT with swaps, then CP-SAT for each layer that is not yet proven best.

    The time left is shared evenly among the layers left. A layer whose time runs out keeps its
    best placement and the bound reached. Use it up to some 32 experts on 4 ranks.
    """
    homes = swapped(problem, lpt_homes(problem))
    proofs: list[Proof] = []
    work_left, clock_left = time_limit_s * WORK_PER_SECOND, time_limit_s
    for i, layer in enumerate(problem.layers):
        loads = problem.loads[i]
        proof = best_load_proof(loads, problem.slots_per_rank, layer)
        if _heaviest(loads, homes[i], problem.ranks) <= proof.bound * (1 + ROUNDING):
            continue
        share = len(problem.layers) - i
        row, bound, work, clock = _search(
            problem, i, homes[i], proof.bound, work_left / share, clock_left / share, seed
        )
        work_left, clock_left = max(work_left - work, 0.0), max(clock_left - clock, 0.0)
        if _heaviest(loads, row, problem.ranks) < _heaviest(loads, homes[i], problem.ranks):
            homes[i] = row
        proofs.append(Proof(layer=layer, kind="search", bound=bound, by=_solver_name()))
    return Found(as_map(problem, homes), tuple(proofs))


def _search(
    problem: Problem,
    row: int,
    hint: NDArray[np.int32],
    known_bound: float,
    work: float,
    clock_s: float,
    seed: int,
) -> tuple[NDArray[np.int32], float, float, float]:
    """One layer: (homes, proven bound on the busiest rank, work spent, seconds spent)."""
    from ortools.sat.python import cp_model

    loads = problem.loads[row]
    scale = _scale(loads)
    # Rounding down keeps the bound true for the loads themselves.
    whole = np.floor(loads * scale).astype(np.int64)
    hint = _in_first_use_order(problem, loads, hint)
    model = cp_model.CpModel()
    ranks, experts = range(problem.ranks), range(problem.experts)
    lives = [[model.new_bool_var(f"{e} on {r}") for r in ranks] for e in experts]
    most = model.new_int_var(max(0, int(np.floor(known_bound * scale))), int(whole.sum()), "most")
    for e in experts:
        model.add_exactly_one(lives[e])
        model.add_hint(lives[e][int(hint[e])], True)
    if _alike(problem):
        # Ranks are alike: let them be numbered by their hottest expert, each map counted once.
        for place, e in enumerate(np.argsort(-loads, kind="stable")):
            for r in range(place + 1, problem.ranks):
                model.add(lives[e][r] == 0)
    for r in ranks:
        here = [lives[e][r] for e in experts]
        model.add(cp_model.LinearExpr.sum(here) == int(problem.slots_per_rank[r]))
        model.add(cp_model.LinearExpr.weighted_sum(here, whole.tolist()) <= most)
    model.minimize(most)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed % 2**31
    solver.parameters.max_deterministic_time = work
    solver.parameters.max_time_in_seconds = clock_s
    status = searched(solver, model)
    spent = solver.response_proto.deterministic_time, solver.wall_time
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return hint, known_bound, *spent
    values = [[solver.boolean_value(lives[e][r]) for r in ranks] for e in experts]
    found = np.asarray(values).argmax(axis=1).astype(np.int32)
    return found, max(known_bound, _bound(solver, scale)), *spent


def _alike(problem: Problem) -> bool:
    return bool((problem.slots_per_rank == problem.slots_per_rank[0]).all())


def _in_first_use_order(
    problem: Problem, loads: NDArray[np.float64], homes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The same placement with its ranks numbered by their hottest expert, where ranks are alike."""
    if not _alike(problem):
        return homes
    _, first = np.unique(homes[np.argsort(-loads, kind="stable")], return_index=True)
    new_number = np.empty(problem.ranks, np.int32)
    new_number[np.argsort(first)] = np.arange(problem.ranks)
    return new_number[homes]


def _bound(solver: Any, scale: float) -> float:
    """The bound in tokens: CP-SAT's is a whole number of scaled units, given as a double."""
    return float(np.ceil(solver.best_objective_bound - 1e-6)) / scale


def _scale(loads: NDArray[np.float64]) -> float:
    """1 for whole tokens; else the power of two that keeps about 40 bits of the total."""
    if (loads == np.floor(loads)).all() and loads.sum() < MOST_TOTAL:
        return 1.0
    return float(2.0 ** np.floor(np.log2(MOST_TOTAL / loads.sum())))


def _heaviest(loads: NDArray[np.float64], homes: NDArray[np.int32], ranks: int) -> float:
    return float(np.bincount(homes, loads, minlength=ranks).max())


def _solver_name() -> str:
    import ortools

    return f"CP-SAT of ortools {ortools.__version__}"
