"""Bounds and certificates: by hand, below every placement, and not to be forged."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.placement import Problem, Proof, score, solve, verify
from moesaic.placement.bounds import best_load_proof
from moesaic.placement.bounds.load import mean_bound, pigeonhole_bound
from moesaic.placement.objective import activated, imbalance
from moesaic.workload import ExpertMap, RoutingCounts

EVEN = np.array([2, 2, 2])


def problem_of(loads, ranks) -> Problem:
    counts = RoutingCounts(loads=np.atleast_2d(np.asarray(loads, float))[None], layers=(7,))
    return Problem.of(counts, ranks)


def test_the_mean_is_rounded_up_for_whole_tokens_only():
    assert mean_bound(np.array([1.0, 2.0, 4.0]), 2) == 4
    assert mean_bound(np.array([1.0, 2.0, 4.5]), 2) == 3.75


def test_pigeonhole_bounds_by_hand():
    loads = np.array([9.0, 8.0, 7.0, 6.0, 2.0, 1.0])
    # Depth 1: the 9 with the coolest company, 1. Depth 2: two of {9, 8, 7, 6} meet: 7 + 6.
    assert pigeonhole_bound(loads, EVEN, 1) == 10
    assert pigeonhole_bound(loads, EVEN, 2) == 13
    assert best_load_proof(loads, EVEN, 7).bound == 13


def test_a_hot_expert_is_bounded_with_its_coolest_company():
    proof = best_load_proof(np.array([50.0, 4.0, 3.0, 2.0, 1.0, 5.0]), EVEN, 7)
    assert (proof.kind, proof.depth, proof.bound) == ("pigeonhole", 1, 51)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bound": 14.0}, "does not give the bound|above the placement"),
        ({"kind": "mean"}, "proof by mean does not give"),
        ({"depth": 1}, "proof by pigeonhole does not give"),
        ({"depth": 99}, "proof by pigeonhole does not give"),
        ({"kind": "hope"}, "proof by hope"),
        ({"layer": 8}, "one proof for each layer"),
    ],
)
def test_a_forged_proof_is_refused(change, sentence):
    problem = problem_of([9, 8, 7, 6, 2, 1], 3)
    placement = solve(problem, "contiguous")
    assert placement.bound.tolist() == [13]
    proof = msgspec.structs.replace(placement.certificate.proofs[0], **change)
    forged = msgspec.structs.replace(
        placement,
        bound=np.array([proof.bound]),
        certificate=msgspec.structs.replace(placement.certificate, proofs=(proof,)),
    )
    with pytest.raises(BadInput, match=sentence):
        verify(problem, forged)


@pytest.mark.parametrize("bound", [0.0, -0.0, -1.0, -1e-300, float("inf"), float("nan")])
def test_a_bound_that_is_none_does_not_pass_for_a_small_gap(bound):
    problem = problem_of([8, 5, 1, 2], 2)
    placement = solve(problem, "contiguous")
    proof = msgspec.structs.replace(placement.certificate.proofs[0], bound=bound)
    none = msgspec.structs.replace(
        placement,
        bound=np.array([bound]),
        certificate=msgspec.structs.replace(placement.certificate, proofs=(proof,)),
    )
    with pytest.raises(BadInput, match=r"bounds nothing|said nan"):
        verify(problem, none)


def test_a_bound_above_the_optimum_is_refused_when_it_claims_a_search():
    problem = problem_of([8, 7, 1, 2], 2)
    placement = solve(problem, "contiguous")  # 15, where 9 is possible
    proofs = (Proof(layer=7, kind="search", bound=10.0, by="nobody"),)
    forged = msgspec.structs.replace(
        placement,
        bound=np.array([10.0]),
        certificate=msgspec.structs.replace(placement.certificate, proofs=proofs),
    )
    with pytest.raises(BadInput, match="proof by search"):
        verify(problem, forged)


def test_a_search_too_large_to_repeat_is_named_as_trusted():
    loads = np.random.default_rng(1).lognormal(5, 0.1, 40)
    problem = problem_of(loads, 8)
    placement = solve(problem, "lpt-swaps")
    proofs = (Proof(layer=7, kind="search", bound=float(placement.bound[0]) * 1.0001, by="x"),)
    claimed = msgspec.structs.replace(
        placement,
        bound=np.array([proofs[0].bound]),
        certificate=msgspec.structs.replace(placement.certificate, proofs=proofs),
    )
    assert verify(problem, claimed).on_trust == (7,)


def test_a_wrong_load_and_foreign_loads_are_refused():
    problem = problem_of([9, 8, 7, 6, 2, 1], 3)
    placement = solve(problem)
    wrong = msgspec.structs.replace(placement, rank_max=placement.rank_max - 1)
    with pytest.raises(BadInput, match="layer 7: said 12, found 13"):
        verify(problem, wrong)
    with pytest.raises(BadInput, match="other loads"):
        verify(problem_of([9, 8, 7, 6, 2, 2], 3), placement)


def test_a_map_that_lost_an_expert_is_refused():
    problem = problem_of([3, 2, 2, 1], 2)
    placement = solve(problem)
    ranks = np.array([0, 0, 0, 1], np.int32)
    moved = msgspec.structs.replace(placement.expert_map, ranks=ranks)
    with pytest.raises(BadInput, match="fills the ranks otherwise"):
        verify(problem, msgspec.structs.replace(placement, expert_map=moved))


def test_the_measures_by_hand():
    placed = ExpertMap(
        slots=np.array([[0, 1, 2, 3]], np.int32),
        ranks=np.array([0, 0, 1, 1], np.int32),
        layers=(0,),
        experts=4,
    )
    loads = np.array([[3.0, 0.0, 4.0, 1.0]])
    values = (imbalance(placed, loads).tolist(), activated(placed, loads).tolist())
    assert values == ([1.25], [2.0])
    problem = Problem(loads=loads, layers=(0,), ranks=2, slots_per_rank=np.array([2, 2]))
    assert score(placed, problem) == {
        "imbalance_worst": 1.25,
        "imbalance_mean": 1.25,
        "activated_worst": 2.0,
        "activated_mean": 2.0,
    }
