"""Methods: valid maps, the orders between them, brute force, and C++ equal to the reference."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import METHODS, Found, Problem, solve, verify
from moesaic.placement.solvers.simple import lpt_homes, swapped, swapped_reference
from moesaic.workload import ExpertMap, RoutingCounts, RoutingTrace, contiguous
from moesaic.workload.synthetic import zipf


def problem_of(loads, ranks, **more) -> Problem:
    loads = np.atleast_2d(np.asarray(loads, float))
    counts = RoutingCounts(loads=loads[None], layers=tuple(range(3, 3 + len(loads))))
    return Problem.of(counts, ranks, **more)


def least_max_load(loads: Any, slots: Any) -> Any:
    """The best busiest-rank load by trying every assignment."""
    homes = [rank for rank, count in enumerate(slots) for _ in range(count)]
    return min(
        np.bincount(home, loads, minlength=len(slots)).max()
        for home in set(itertools.permutations(homes))
    )


@st.composite
def problems(draw, most_experts=24, whole=None) -> Problem:
    ranks = draw(st.integers(1, 5))
    experts = draw(st.integers(ranks, most_experts))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    loads = rng.lognormal(3, draw(st.sampled_from([0.0, 0.5, 2.0])), (2, experts))
    if whole if whole is not None else draw(st.booleans()):
        loads = np.floor(loads) + 1
    return problem_of(loads, ranks)


@given(problems(), st.sampled_from(["contiguous", "round-robin", "lpt", "lpt-swaps"]))
def test_every_method_fills_every_slot_once_and_never_beats_its_bound(problem, method):
    placement = solve(problem, method)
    slots = np.sort(placement.expert_map.slots, axis=1)
    assert (slots == np.arange(problem.experts)).all()
    filled = np.bincount(placement.expert_map.ranks, minlength=problem.ranks)
    assert (filled == problem.slots_per_rank).all()
    assert (placement.bound <= placement.rank_max * (1 + 1e-9)).all()
    assert (placement.bound >= problem.mean_loads * (1 - 1e-9)).all()
    assert verify(problem, placement).on_trust == ()


@given(problems())
def test_swaps_never_make_lpt_worse(problem):
    assert (solve(problem, "lpt-swaps").rank_max <= solve(problem, "lpt").rank_max + 1e-9).all()


@given(problems(most_experts=12))
def test_after_the_swaps_no_swap_lowers_the_busiest_rank(problem):
    homes = swapped(problem, lpt_homes(problem))
    for loads, row in zip(problem.loads, homes, strict=True):
        on_rank = np.bincount(row, loads, minlength=problem.ranks)
        busiest = on_rank.argmax()
        for a, b in itertools.product(range(problem.experts), repeat=2):
            if row[a] == busiest and row[b] != busiest:
                moved = loads[a] - loads[b]
                pair = max(on_rank[busiest] - moved, on_rank[row[b]] + moved)
                assert pair >= on_rank[busiest] * (1 - 1e-9)


@given(problems(most_experts=40))
def test_the_compiled_swaps_equal_the_plain_ones_bit_by_bit(problem):
    homes = lpt_homes(problem)
    assert (swapped(problem, homes) == swapped_reference(problem, homes)).all()


@given(problems(most_experts=8))
@settings(max_examples=25, deadline=None)
def test_exact_small_equals_brute_force_and_bounds_stay_below_it(problem):
    placement = solve(problem, "exact-small", time_limit_s=60)
    best = [least_max_load(row, problem.slots_per_rank) for row in problem.loads]
    assert placement.proven
    np.testing.assert_allclose(placement.rank_max, best, rtol=1e-9)
    for method in ("contiguous", "lpt"):
        assert (solve(problem, method).bound <= np.array(best) * (1 + 1e-9)).all()
    assert len(verify(problem, placement).checked) == 2


def test_lpt_follows_graham_by_hand():
    # 7 to rank 0, 6 and then 5 to rank 1 (6 < 7), 4 to the slot left on rank 0: 11 and 11.
    placement = solve(problem_of([5, 7, 4, 6], 2), "lpt")
    assert placement.expert_map.slots.tolist() == [[1, 2, 0, 3]]
    assert placement.rank_max.tolist() == [11]
    assert placement.proven


def test_swaps_balance_a_bad_start():
    # {8, 5, 4} and {7, 6, 4} share 34 evenly; the swaps find that from {8, 7, 6} and {5, 4, 4}.
    problem = problem_of([8, 7, 6, 5, 4, 4], 2)
    start = np.array([[0, 0, 0, 1, 1, 1]], np.int32)
    homes = swapped(problem, start)
    assert np.bincount(homes[0], problem.loads[0]).tolist() == [17, 17]


def test_contiguous_is_the_default_of_the_engines():
    problem = problem_of(np.arange(1, 9), 4)
    placed = solve(problem, "contiguous").expert_map
    default = contiguous(8, 4, problem.layers)
    assert (placed.slots == default.slots).all()
    assert (placed.ranks == default.ranks).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_question_gets_the_same_answer(method):
    problem = Problem.of(zipf(8, 2, 400, layers=3, exponent=0.8, seed=3), 4)
    current = solve(problem, "contiguous").expert_map
    problem = msgspec.structs.replace(problem, current=current)
    first, second = (solve(problem, method, 0.5, seed=5) for _ in range(2))
    assert (first.expert_map.slots == second.expert_map.slots).all()
    assert first.certificate == second.certificate


def test_a_search_that_runs_out_of_time_keeps_its_best_and_its_gap():
    loads = np.random.default_rng(0).lognormal(5, 1, 64)
    placement = solve(problem_of(loads, 8), "exact-small", time_limit_s=0.2)
    assert placement.rank_max <= solve(problem_of(loads, 8), "lpt-swaps").rank_max
    assert 0 < placement.gap < 0.01
    assert not placement.proven


def test_a_callable_of_the_users_own_is_a_method():
    def reversed_order(problem, time_limit_s, seed):
        ranks = np.repeat(np.arange(problem.ranks), problem.slots_per_rank).astype(np.int32)
        rows = np.tile(np.arange(problem.experts)[::-1].astype(np.int32), (len(problem.layers), 1))
        return ExpertMap(slots=rows, ranks=ranks, layers=problem.layers, experts=problem.experts)

    placement = solve(problem_of([1, 2, 3, 4], 2), reversed_order)
    assert placement.method == "reversed_order"
    assert placement.rank_max.tolist() == [7]


def test_a_method_that_answers_another_question_is_refused():
    def other(problem, time_limit_s, seed):
        return Found(contiguous(problem.experts, 2, (0,)))

    with pytest.raises(BadInput, match="gave a map of 1 layers"):
        solve(problem_of([1, 2, 3, 4], 4), other)


def test_the_cap_is_refused_when_no_placement_meets_it():
    problem = problem_of([[1, 1, 1, 1], [9, 1, 1, 1]], 2, cap=1.05)
    with pytest.raises(BadInput, match=r"layer 4 within 1\.05 of the mean: at least 1\.6667"):
        solve(problem)
    assert solve(problem_of([[1, 1, 1, 1], [9, 1, 1, 1]], 2, cap=1.7)).rank_max.max() == 10


def test_a_method_that_misses_a_reachable_cap_says_so():
    problem = problem_of([8, 7, 1, 2], 2, cap=1.05)
    with pytest.raises(BadInput, match=r"contiguous reached 1\.6667"):
        solve(problem, "contiguous")
    assert solve(problem, "lpt").rank_max.tolist() == [9]


@pytest.mark.parametrize(
    ("loads", "ranks", "more", "sentence"),
    [
        ([1, 2, 3, 4], 5, {}, "5 ranks cannot share 4 experts"),
        ([1, 2, 3, 4], 0, {}, "at least 1"),
        ([1, 2, 3, 4], 2, {"slots_per_rank": 1}, "4 experts do not fit in 2 slots"),
        ([1, 2, 3, 4], 3, {"slots_per_rank": 5}, "5 slots for 4 experts"),
        ([[1, 2], [0, 0]], 2, {}, "layer 4 has no load"),
        ([1, 2], 2, {"cap": 0.9}, "at least 1"),
        ([1, 2], 2, {"cap": float("nan")}, "at least 1"),
    ],
)
def test_impossible_problems_are_refused_with_a_sentence(loads, ranks, more, sentence):
    with pytest.raises(BadInput, match=sentence):
        problem_of(loads, ranks, **more)


@pytest.mark.parametrize(
    "more", [{"method": "lpt-swap"}, {"time_limit_s": 0}, {"time_limit_s": np.nan}, {"seed": -1}]
)
def test_bad_words_to_solve_are_refused(more):
    with pytest.raises(BadInput):
        solve(problem_of([1, 2], 2), **more)


def test_a_trace_and_its_counts_pose_the_same_problem():
    ids = np.random.default_rng(0).integers(0, 8, (50, 2, 2)).astype(np.int16)
    trace = RoutingTrace(expert_ids=ids, experts=8, layers=(1, 2))
    a, b = Problem.of(trace, 4), Problem.of(trace.counts(windows=5), 4)
    assert a.fingerprint() == b.fingerprint()
    assert a.loads.sum() == 200
