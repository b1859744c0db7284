"""EPLB: the published example to the digit, and what its steps promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Problem, solve
from moesaic.placement.objective import imbalance
from moesaic.placement.solvers.eplb import rebalance_experts
from moesaic.workload import RoutingCounts

README = np.array(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ]
)


def problem_of(loads, ranks, **more) -> Problem:
    loads = np.atleast_2d(np.asarray(loads, float))
    counts = RoutingCounts(loads=loads[None], layers=tuple(range(len(loads))))
    return Problem.of(counts, ranks, **more)


def test_the_example_of_the_published_readme_comes_out_exactly():
    held, where, counts = rebalance_experts(README, slots=16, groups=4, nodes=2, ranks=8)
    assert held.tolist() == [
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    assert counts.sum(axis=1).tolist() == [16, 16]
    assert where[0, 5].tolist() == [0, 2]
    assert where[0, 7].tolist() == [3, -1]


def test_its_balancedness_is_the_published_one():
    problem = problem_of(README, 8, slots_per_rank=2, groups=4)
    problem = Problem(
        loads=problem.loads,
        layers=problem.layers,
        ranks=8,
        slots_per_rank=problem.slots_per_rank,
        ranks_per_node=4,
        groups=4,
    )
    placement = solve(problem, "eplb")
    assert (1 / imbalance(placement.expert_map, problem.loads)).round(3).tolist() == [0.828, 0.805]
    assert placement.scores["duplicates"] == 0


@given(st.integers(0, 2**32), st.sampled_from([(8, 2, 4), (4, 4, 4), (1, 1, 8), (3, 2, 4)]))
def test_slots_counts_and_the_way_back_agree(seed, shape):
    groups, nodes, ranks = shape
    loads = np.random.default_rng(seed).lognormal(3, 1, (3, 24))
    held, where, counts = rebalance_experts(loads, 32, groups, nodes, ranks)
    for row in range(3):
        assert (np.bincount(held[row], minlength=24) == counts[row]).all()
        for expert in range(24):
            slots = where[row, expert]
            assert (held[row, slots[slots >= 0]] == expert).all()
            assert (slots >= 0).sum() == counts[row, expert]
    if groups % nodes == 0 and nodes > 1:
        # A group of experts stays inside one node.
        of_group = held.reshape(3, nodes, -1) // (24 // groups)
        for row in of_group:
            seen = [set(node.tolist()) for node in row]
            assert sum(map(len, seen)) == groups


def test_copies_on_one_rank_are_counted_and_told():
    # One hot expert takes all spare slots, more than there are ranks.
    placement = solve(problem_of([97, 1, 1, 1], 2, slots_per_rank=4), "eplb-global")
    assert placement.scores["duplicates"] == 3
    assert "3 slots repeat an expert" in placement.notes[0]


def test_uneven_slots_and_groups_are_refused():
    with pytest.raises(BadInput, match="as many slots on each rank"):
        solve(problem_of(np.ones(5), 2), "eplb")
    with pytest.raises(BadInput, match="must divide the 12 experts"):
        problem_of(README, 4, groups=5)
