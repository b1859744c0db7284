"""Rebalancing: budgets and caps kept, the C++ steps equal to Python, bounds below brute force."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Problem, Weights, solve
from moesaic.placement.curves import balance_against_moves, balance_against_slots
from moesaic.placement.objective import duplicates, imbalance, moved
from moesaic.placement.solvers.ease import Reference, eased
from moesaic.placement.solvers.rebalance import least_moves, least_ratio
from moesaic.workload import ExpertMap


def drifted(seed, layers=2, experts=12, ranks=4, per_rank=4, drift=0.7, **more) -> Problem:
    """Loads that have left the map which `replicas` made for them."""
    rng = np.random.default_rng(seed)
    loads = rng.lognormal(3, 1, (layers, experts))
    before = Problem(
        loads=loads,
        layers=tuple(range(layers)),
        ranks=ranks,
        slots_per_rank=np.full(ranks, per_rank),
    )
    current = solve(before, "replicas").expert_map
    now = loads * rng.lognormal(0, drift, loads.shape)
    return msgspec.structs.replace(before, loads=now, current=current, **more)


seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 30), st.sampled_from([3, 4]))
@settings(deadline=None)
def test_the_budget_is_kept_and_more_moves_are_never_worse(seed, budget, per_rank):
    worst = []
    for most in (0, budget, budget + 5):
        problem = drifted(seed, per_rank=per_rank, most_moves=most)
        placed = solve(problem, "rebalance")
        assert placed.scores["moved"] <= most
        assert duplicates(placed.expert_map).sum() == 0
        assert placed.scores["imbalance_worst"] >= least_ratio(problem, most) * (1 - 1e-9)
        worst.append(placed.scores["imbalance_worst"])
    assert problem.current is not None
    assert worst[0] == pytest.approx(imbalance(problem.current, problem.loads).max())
    assert worst[0] >= worst[1] >= worst[2]


@given(seeds, st.booleans(), st.sampled_from([1.0, 1.05, 1.3]))
@settings(deadline=None, max_examples=20)
def test_the_compiled_steps_equal_the_plain_ones_bit_by_bit(seed, priced, target):
    rng = np.random.default_rng(seed)
    loads = rng.lognormal(3, 1, (2, 8))
    rank_of = np.repeat(np.arange(4, dtype=np.int32), 3)
    # Any map, experts twice on a rank among them.
    held = np.stack([rng.permutation(np.r_[np.arange(8), rng.integers(0, 8, 4)]) for _ in loads])
    targets = loads.sum(axis=1) / 4 * target
    fast = eased(loads, held.astype(np.int32), rank_of, 4, targets, priced=priced)
    for row in range(2):
        plain = Reference(loads[row], held[row], rank_of, 4, float(targets[row]), priced=priced)
        path = plain.run()
        assert plain.held == fast.held[row].tolist()
        assert [point[0] for point in path] == fast.heaviest[row, : len(path)].tolist()
        assert [point[1] for point in path] == fast.moved[row, : len(path)].tolist()


@given(seeds, st.integers(0, 3))
@settings(deadline=None, max_examples=15)
def test_no_map_needs_fewer_moves_than_the_bound_says(seed, spare):
    # Every map of 4 experts on 2 ranks of 2 to 3 slots, by trying all pairs of sets.
    per_rank = 2 + spare // 2
    problem = drifted(seed, 1, 4, 2, per_rank)
    assert problem.current is not None
    for first, second in itertools.product(itertools.combinations(range(4), per_rank), repeat=2):
        if set(first) | set(second) != set(range(4)):
            continue
        placed = ExpertMap(
            slots=np.array([first + second], np.int32),
            ranks=problem.slot_ranks,
            layers=problem.layers,
            experts=4,
        )
        ratio = imbalance(placed, problem.loads)
        moves = int(moved(placed, problem.current)[0])
        assert least_moves(problem, ratio)[0] <= moves
        assert least_ratio(problem, moves) <= ratio[0] * (1 + 1e-9)


def test_the_bound_on_moves_by_hand():
    current = ExpertMap(
        slots=np.array([[0, 1, 2, 3]], np.int32),
        ranks=np.array([0, 0, 1, 1], np.int32),
        layers=(0,),
        experts=4,
    )
    problem = Problem(
        loads=np.array([[5.0, 4.0, 2.0, 1.0]]),
        layers=(0,),
        ranks=2,
        slots_per_rank=np.array([2, 2]),
        current=current,
    )
    # Rank 0 has 9 of a mean of 6: one of its experts must leave for any limit in 4/6 .. 9/6.
    assert least_moves(problem, 1.0).tolist() == [1]
    assert least_moves(problem, 1.5).tolist() == [0]
    # 5 for 2 leaves 6 and 6, and moves two experts.
    placed = solve(problem, "rebalance")
    assert placed.scores["moved"] == 2
    assert placed.rank_max.tolist() == [6]


def test_a_cap_is_reached_by_fewer_moves_than_a_fresh_map_takes():
    problem = drifted(1, 6, 64, 8, 9, drift=0.3, cap=1.05)
    placed, fresh = solve(problem, "rebalance"), solve(problem, "replicas")
    assert placed.scores["imbalance_worst"] <= 1.05
    assert placed.scores["moved"] < fresh.scores["moved"] / 4
    assert placed.scores["moved"] >= least_moves(problem, 1.05).sum()


def test_a_budget_too_small_for_the_cap_says_what_it_reaches():
    problem = drifted(1, 6, 64, 8, 9, drift=0.3, cap=1.02, most_moves=5)
    with pytest.raises(BadInput, match=r"at least \d+ however found; so many reach 1\.\d+"):
        solve(problem, "rebalance")


def test_moves_that_weigh_more_than_they_save_are_not_made():
    heavy = Weights(moves=1e9)
    assert solve(drifted(2, weights=heavy), "rebalance").scores["moved"] == 0
    few, many = (
        solve(drifted(2, 4, 32, 4, 9, weights=Weights(moves=w)), "rebalance") for w in (5.0, 0.1)
    )
    assert 0 < few.scores["moved"] < many.scores["moved"]
    assert few.scores["imbalance_mean"] > many.scores["imbalance_mean"]


def test_a_weight_and_a_budget_hold_together():
    weights = Weights(moves=0.1)
    placed = solve(drifted(2, 4, 32, 4, 9, weights=weights, most_moves=6), "rebalance")
    assert 0 < placed.scores["moved"] <= 6


def test_with_a_tenth_of_eplbs_moves_the_worst_layer_is_at_least_as_good():
    rng = np.random.default_rng(0)
    loads = rng.lognormal(0, 0.5, (12, 256))
    before = Problem(loads=loads, layers=tuple(range(12)), ranks=32, slots_per_rank=np.full(32, 9))
    current = solve(before, "eplb-global").expert_map
    drift = loads * rng.lognormal(0, 0.3, loads.shape)
    after = msgspec.structs.replace(before, loads=drift, current=current)
    fresh = solve(after, "eplb-global")
    tenth = int(fresh.scores["moved"]) // 10
    ours = solve(msgspec.structs.replace(after, most_moves=tenth), "rebalance")
    assert ours.scores["imbalance_worst"] <= fresh.scores["imbalance_worst"]
    assert ours.scores["imbalance_mean"] <= fresh.scores["imbalance_mean"]


def test_the_curves_fall_and_stay_above_their_bounds():
    problem = drifted(3, 4, 32, 4, 9)
    moves = balance_against_moves(problem, [0, 5, 20, 100])
    slots = balance_against_slots(problem, [8, 9, 10])
    for curve in (moves, slots):
        assert all(point.worst >= point.bound * (1 - 1e-9) for point in curve)
        assert curve[0].worst > curve[-1].worst
    assert [point.price for point in slots] == [32, 36, 40]
    assert [point.price for point in moves] == sorted(point.price for point in moves)


def test_without_a_map_or_with_other_slots_rebalance_refuses():
    problem = drifted(4)
    with pytest.raises(BadInput, match="needs the map that is loaded now"):
        solve(msgspec.structs.replace(problem, current=None), "rebalance")
    with pytest.raises(BadInput, match="rebalance keeps the slots"):
        solve(msgspec.structs.replace(problem, slots_per_rank=np.full(4, 5)), "rebalance")
