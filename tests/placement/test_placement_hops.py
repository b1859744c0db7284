"""Hops: prices by hand, exact chains, bounds below every map, and proofs that cannot be forged."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Problem, Weights, score, solve, verify
from moesaic.placement.bounds import bound_hops, chance_cost, hop_cost
from moesaic.placement.bounds.hops import rooms
from moesaic.placement.bounds.matching import matching_duals, matching_value
from moesaic.placement.bounds.split import best_split
from moesaic.placement.objective import fan_out, moved
from moesaic.placement.solvers.found import as_map
from moesaic.workload import ExpertMap, RoutingTrace
from moesaic.workload.synthetic import topical


def problem_of(seed=0, experts=6, ranks=3, layers=3, affinity=3.0, **more) -> Any:
    return Problem.of(topical(experts, 2, 300, layers, affinity, seed, topics=5), ranks, **more)


def every_map(problem):
    """All placements of a small problem, as homes `[layers, experts]`."""
    row = np.repeat(np.arange(problem.ranks), problem.slots_per_rank)
    rows = sorted(set(itertools.permutations(row.tolist())))
    for chain in itertools.product(rows, repeat=len(problem.layers)):
        yield np.array(chain, np.int32)


def random_map(problem, seed):
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(problem.ranks), problem.slots_per_rank)
    return as_map(
        problem, np.stack([rng.permutation(row) for _ in problem.layers]).astype(np.int32)
    )


def test_prices_by_hand():
    """Two tokens: 0 then 2, 1 then 3; experts 0, 2 and 1, 3 live together."""
    ids = np.array([[[0], [2]], [[1], [3]]], np.int16)
    trace = RoutingTrace(expert_ids=ids, experts=4, layers=(0, 1))
    together = ExpertMap(
        slots=np.array([[0, 2, 1, 3]] * 2, np.int32),
        ranks=np.array([0, 0, 1, 1], np.int32),
        layers=(0, 1),
        experts=4,
    )
    problem = Problem.of(trace, 2)
    assert score(together, problem)["hops"] == 0
    apart = msgspec.structs.replace(
        together, slots=np.array([[0, 2, 1, 3], [1, 3, 0, 2]], np.int32)
    )
    assert score(apart, problem)["hops"] == 1
    assert moved(apart, together).tolist() == [0, 4]
    two = np.array([[[0, 1]], [[0, 2]]], np.int16)
    assert fan_out(
        msgspec.structs.replace(together, slots=together.slots[:1], layers=(0,)), two
    ) == [1.5]


def test_copies_share_what_hops():
    """Expert 0 on both ranks: half of its tokens find expert 1 where they are."""
    ids = np.array([[[0], [1]]] * 4, np.int16)
    trace = RoutingTrace(expert_ids=ids, experts=2, layers=(0, 1))
    placed = ExpertMap(
        slots=np.array([[0, 1, 0, 1], [0, 1, 1, 0]], np.int32),
        ranks=np.array([0, 0, 1, 1], np.int32),
        layers=(0, 1),
        experts=2,
    )
    assert score(placed, Problem.of(trace, 2, slots_per_rank=2))["hops"] == 0.5


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 2.5]), st.sampled_from([None, 1.3]))
def test_exact_equals_brute_force_at_any_price_and_cap(seed, node_cost, cap):
    nodes = node_cost > 1
    problem = problem_of(seed, experts=4, ranks=4 if nodes else 2, layers=2 if nodes else 3)
    problem = msgspec.structs.replace(
        problem, ranks_per_node=2 if nodes else None, node_cost=node_cost
    )
    maps = [as_map(problem, homes) for homes in every_map(problem)]
    busiest = [
        (placed.rank_loads(problem.loads).max(axis=1) / problem.mean_loads).max() for placed in maps
    ]
    if cap is not None:
        cap = max(cap, min(busiest) * (1 + 1e-9))
    problem = msgspec.structs.replace(problem, cap=cap)
    allowed = [m for m, b in zip(maps, busiest, strict=True) if cap is None or b <= cap]
    found = solve(problem, "exact")
    assert found.hops is not None
    least = min(hop_cost(placed, problem) for placed in allowed) / problem.transitions.sum()
    assert found.hops.reached == pytest.approx(least, abs=1e-12)
    assert found.hops.gap == pytest.approx(0, abs=1e-9)
    assert verify(problem, found).hops is True


def test_exact_on_uneven_slots_and_what_it_refuses():
    problem = problem_of(1, experts=5, ranks=2)
    found: Any = solve(problem, "exact")
    least = min(hop_cost(as_map(problem, homes), problem) for homes in every_map(problem))
    assert hop_cost(found.expert_map, problem) == pytest.approx(least)
    with pytest.raises(BadInput, match="use the method joint"):
        solve(problem_of(experts=16, ranks=4), "exact")
    with pytest.raises(BadInput, match="the least possible there is"):
        solve(problem_of(2, experts=4, ranks=2, cap=1.0), "exact")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(12, 3, 0), (10, 3, 0), (8, 4, 1)]))
def test_no_map_beats_a_bound(seed, shape):
    """Quick and split, even and uneven slots, copies, one and two prices."""
    experts, ranks, more = shape
    each = None if not more else experts // ranks + more
    problem = problem_of(seed, experts, ranks, slots_per_rank=each)
    rng = np.random.default_rng(seed)
    if more:
        slots = np.stack(
            [np.r_[rng.permutation(experts), rng.permutation(experts)[:ranks]] for _ in range(3)]
        )
        placed = ExpertMap(
            slots=slots.astype(np.int32),
            ranks=(np.arange(problem.slots) % ranks).astype(np.int32),
            layers=problem.layers,
            experts=experts,
        )
    else:
        placed = random_map(problem, seed)
    caps = placed.rank_loads(problem.loads).max(axis=1) / problem.mean_loads
    problem = msgspec.structs.replace(
        problem,
        cap=caps * (1 + 1e-9),
        ranks_per_node=2 if ranks == 4 else None,
        node_cost=3.0 if ranks == 4 else 1.0,
    )
    for seconds in (0.0, 0.2):
        assert bound_hops(problem, seconds).bound <= hop_cost(placed, problem) * (1 + 1e-9)


def test_the_split_is_tighter_than_its_parts_and_the_cap_helps():
    problem = problem_of(0, 32, 4, 2, affinity=1.5)
    flow = problem.transitions[0]
    free = rooms(problem, 1)[0]
    capped = rooms(msgspec.structs.replace(problem, cap=1.05), 1)[0]
    matched = matching_value(flow, 8, matching_duals(flow, 8))
    assert best_split(flow, free, 40).kept < matched
    assert best_split(flow, capped, 40).kept < best_split(flow, free, 40).kept


def test_the_matching_descent_comes_near_the_optimum():
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    weights, slots = rng.gamma(1.0, 1.0, (12, 12)), 3
    sums = np.zeros((24, 144))
    for i in range(12):
        sums[i, 12 * i : 12 * i + 12] = 1
        sums[12 + i, i::12] = 1
    best = linprog(-weights.ravel(), A_eq=sums, b_eq=np.full(24, slots), bounds=(0, 1))
    value = matching_value(weights, slots, matching_duals(weights, slots))
    assert -best.fun - 1e-9 <= value <= -best.fun * 1.005


def test_joint_keeps_the_cap_and_beats_two_stages():
    problem = problem_of(5, 24, 4, 6, affinity=1.5, cap=1.1)
    found: Any = solve(problem, "joint", 0.3, bound_s=1.0)
    two: Any = solve(problem, "two-stage")
    assert found.scores["imbalance_worst"] <= 1.1 * (1 + 1e-9)
    assert found.hops.reached < two.hops.reached
    assert found.hops.bound <= found.hops.reached
    assert 0 < found.hops.captured <= 1
    assert verify(problem, found).hops is True


def test_chance_is_what_a_shuffled_trace_gives():
    problem = problem_of(3, 8, 4, 2, affinity=0.0)
    placed = solve(problem, "contiguous").expert_map
    assert chance_cost(placed, problem) == pytest.approx(hop_cost(placed, problem), rel=0.05)


def test_joint_weighs_fan_out_and_moves():
    trace = topical(16, 4, 2000, 3, 2.0, 0)
    plain = Problem.of(trace, 4, cap=1.3)
    by_hops = solve(plain, "joint", 0.3)
    grouped = solve(plain, "groups", 0.3)
    assert grouped.scores["fan_out"] < by_hops.scores["fan_out"]
    current = by_hops.expert_map
    held = Problem.of(
        trace, 4, cap=1.3, current=current, weights=Weights(fan_out=1.0, hops=0.0, moves=1e9)
    )
    assert solve(held, "joint", 0.3).scores["moved"] <= 16
    with pytest.raises(BadInput, match="needs a trace"):
        solve(msgspec.structs.replace(held, routing=None), "joint")


def test_joint_with_copies_puts_none_twice_on_a_rank():
    problem = problem_of(4, 12, 4, 4, slots_per_rank=4, cap=1.2)
    placed = solve(problem, "joint", 0.3).expert_map
    for row in placed.slots.reshape(len(placed.layers), 4, 4):
        assert all(len(set(rank.tolist())) == 4 for rank in row)


def forged(placement, **change):
    return msgspec.structs.replace(
        placement, hop_certificate=msgspec.structs.replace(placement.hop_certificate, **change)
    )


def claimed(placement, asked, share=None, **change):
    """The placement with a certificate that says that nothing can be bettered, or `share`."""
    share = placement.hops.reached if share is None else share
    made: Any = forged(placement, bound=share * float(asked.transitions.sum()), **change)
    return msgspec.structs.replace(made, hops=msgspec.structs.replace(made.hops, bound=share))


def test_a_proof_on_hops_cannot_be_forged():
    problem = problem_of(6, 16, 4, 3, affinity=1.5, cap=1.3)
    placement: Any = solve(problem, "joint", 0.2, bound_s=0.5)
    assert verify(problem, placement).hops is True
    proof = placement.hop_certificate.proofs[0]
    assert proof.part is not None
    with pytest.raises(BadInput, match="the proofs give a bound"):
        verify(problem, claimed(placement, problem, placement.hops.bound * 1.01))
    with pytest.raises(BadInput, match="one kind of hop twice"):
        verify(problem, forged(placement, proofs=(proof, proof)))
    wrong = msgspec.structs.replace(proof, load_duals=proof.load_duals - 1.0)
    with pytest.raises(BadInput, match="load duals that are not negative"):
        verify(problem, forged(placement, proofs=(wrong,)))
    with pytest.raises(BadInput, match="other transitions"):
        verify(msgspec.structs.replace(problem, cap=1.4), placement)
    hops = msgspec.structs.replace(placement.hops, reached=0.1)
    with pytest.raises(BadInput, match="said"):
        verify(problem, msgspec.structs.replace(placement, hops=hops))
    with pytest.raises(BadInput, match="the proofs give a bound"):
        verify(problem, forged(placement, proofs=()))


@pytest.mark.parametrize("huge", [1e17, 1e20, 1e30, 1e200, 1e308])
def test_huge_numbers_that_cancel_prove_nothing(huge):
    """In exact arithmetic they would prove little; in doubles what they cancel is lost."""
    problem = problem_of(6, 16, 4, 3, affinity=1.5)
    placement: Any = solve(problem, "contiguous", bound_s=0.5)
    proof = placement.hop_certificate.proofs[0]
    plain = msgspec.structs.replace(proof, part=None, load_duals=None)
    away, none = np.zeros_like(proof.duals), np.zeros_like(proof.duals)
    away[:, 0], away[:, 1] = huge, -huge
    flat = np.full(proof.part.shape, min(huge, 1e38), np.float32)
    none[:, 0] = flat[0, 0, 0]
    wrong = [
        msgspec.structs.replace(plain, duals=away),
        msgspec.structs.replace(plain, duals=-np.abs(away)),
        msgspec.structs.replace(proof, duals=none, part=flat, load_duals=np.zeros_like(none)),
    ]
    for one in wrong:
        with pytest.raises(BadInput, match=r"the proofs give a bound of 0|too large to add up"):
            verify(problem, claimed(placement, problem, proofs=(one,)))
    # A cap of 1 and load duals as huge as even cancel too, for a map that keeps the cap.
    ids = np.array([[[i], [(i + shift) % 4]] for i in range(4) for shift in range(4)], np.int16)
    even = Problem.of(RoutingTrace(expert_ids=ids, experts=4, layers=(0, 1)), 2, cap=1.0)
    found: Any = solve(even, "contiguous", bound_s=0.5)
    alpha = np.zeros((1, 2, 4))
    alpha[:, 0] = huge
    one = msgspec.structs.replace(found.hop_certificate.proofs[0], load_duals=alpha)
    with pytest.raises(BadInput, match=r"the proofs give a bound of 0|too large to add up"):
        verify(even, claimed(found, even, 0.5, proofs=(one,)))


def test_a_dear_hop_makes_no_bound_of_rounding():
    problem = msgspec.structs.replace(
        problem_of(6, 8, 4, 3), node_cost=1e6, ranks_per_node=4, cap=None
    )
    placement: Any = solve(problem, "contiguous")
    proof = placement.hop_certificate.proofs[0]
    for least in (0.0, 1e-13, 1e-12, 1e-11):
        duals = np.zeros_like(proof.duals)
        duals[:, 0] = least
        whole = msgspec.structs.replace(proof, group=4, duals=duals)
        with pytest.raises(BadInput, match="the proofs give a bound of 0"):
            verify(problem, claimed(placement, problem, proofs=(whole,)))


def test_what_surrounds_a_bound_on_hops_is_checked_too():
    problem = problem_of(7, 6, 3, 3)
    placement: Any = solve(problem, "contiguous")
    sharp = msgspec.structs.replace(problem, cap=1.0)
    with pytest.raises(BadInput, match="a cap that this map does not keep"):
        verify(sharp, claimed(placement, problem, exhaustive=True, **sharp.terms()))
    with pytest.raises(BadInput, match="belong together"):
        verify(problem, msgspec.structs.replace(placement, hop_certificate=None))
    chance = msgspec.structs.replace(placement.hops, by_chance=5.0)
    with pytest.raises(BadInput, match="by_chance: said 5"):
        verify(problem, msgspec.structs.replace(placement, hops=chance))
    for share in (-1.0, -0.1, float("nan"), placement.hops.reached * 1.01):
        with pytest.raises(BadInput, match=r"cannot be|said nan"):
            verify(problem, claimed(placement, problem, share))
    copied = problem_of(6, 8, 4, 3, slots_per_rank=3)
    twice: Any = solve(copied, "replicas")
    with pytest.raises(BadInput, match="without copies"):
        verify(copied, claimed(twice, copied, exhaustive=True))
    large = problem_of(6, 16, 4, 3)
    placed: Any = solve(large, "contiguous")
    with pytest.raises(BadInput, match="claims 63063000 placements"):
        verify(large, claimed(placed, large, exhaustive=True))
    none = claimed(placement, problem, 0.0)
    assert none.hops.gap == float("inf")


def test_an_exhaustive_proof_is_tried_again():
    problem = problem_of(7, 6, 3, 3)
    placement: Any = solve(problem, "contiguous")
    with pytest.raises(BadInput, match="the proofs give a bound"):
        verify(problem, claimed(placement, problem, exhaustive=True))


def test_transitions_add_up_to_the_loads():
    trace = topical(10, 3, 500, 4, 1.0, 0)
    problem: Any = Problem.of(trace, 2)
    assert np.allclose(problem.transitions.sum(axis=2), problem.loads[:-1])
    assert np.allclose(problem.transitions.sum(axis=1), problem.loads[1:])
    with pytest.raises(BadInput, match="needs the shape"):
        msgspec.structs.replace(problem, transitions=problem.transitions[:1]).__post_init__()
