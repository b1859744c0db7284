"""Published methods on hops: exact naming of clusters, MoETuner's stages, ExFlow's halving."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Problem, solve, verify
from moesaic.placement.bounds import hop_cost
from moesaic.placement.solvers import chain
from moesaic.placement.solvers.exflow import _searched, halved, kept
from moesaic.placement.solvers.moetuner import names_by_search
from moesaic.workload import RoutingTrace
from moesaic.workload.synthetic import topical


def trace_of(seed, layers=3, experts=8, tokens=400, affinity=1.5) -> RoutingTrace:
    """Top-2 tokens of one of four topics each, so that experts of a topic follow each other."""
    rng = np.random.default_rng(seed)
    taste = rng.normal(size=(layers, 4, experts)) * affinity
    noise = rng.gumbel(size=(tokens, layers, experts))
    scores = taste[:, rng.integers(0, 4, tokens)].swapaxes(0, 1) + noise
    ids = np.argsort(-scores, axis=2)[:, :, :2].astype(np.int16)
    return RoutingTrace(expert_ids=ids, experts=experts, layers=tuple(range(layers)))


def problem_of(seed, ranks=4, **more) -> Problem:
    shape = {key: more.pop(key) for key in ("layers", "experts", "affinity") if key in more}
    problem = Problem.of(trace_of(seed, **shape), ranks)
    return msgspec.structs.replace(problem, **more)


def two_nodes(seed, ranks=4, **more) -> Problem:
    return problem_of(seed, ranks, ranks_per_node=ranks // 2, node_cost=4.0, **more)


def every_naming(layers, ranks):
    orders = [np.array(order) for order in itertools.permutations(range(ranks))]
    for rest in itertools.product(orders, repeat=layers - 1):
        yield np.array([np.arange(ranks), *rest])


def links_of(problem):
    placed = solve(problem, "lpt").expert_map
    assert problem.transitions is not None
    return placed, chain.cluster_flows(placed, problem.transitions)


@given(st.integers(0, 2**32), st.sampled_from([2, 3]))
@settings(deadline=None, max_examples=20)
def test_both_namings_equal_brute_force_on_equal_links(seed, ranks):
    problem = problem_of(seed, ranks, experts=6)
    _, links = links_of(problem)
    cost = problem.hop_costs()
    by_sum = chain.names_by_sum(links, problem.slots_per_rank)
    by_worst = chain.names_by_worst_link(links, problem.slots_per_rank)

    def hops(names):
        pairs = zip(links, names, names[1:], strict=False)
        return sum((flow * cost[a[:, None], b[None, :]]).sum() for flow, a, b in pairs)

    every = list(every_naming(3, ranks))
    assert hops(by_sum) == pytest.approx(min(hops(names) for names in every))
    assert chain.worst_links(links, by_worst, cost).sum() == pytest.approx(
        min(chain.worst_links(links, names, cost).sum() for names in every)
    )


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_renaming_costs_what_the_cluster_flows_say_and_keeps_the_clusters(seed):
    problem = two_nodes(seed)
    placed, links = links_of(problem)
    names = np.array([np.random.default_rng(seed + row).permutation(4) for row in range(3)])
    moved = chain.renamed(placed, names, problem)
    cost = problem.hop_costs()
    pairs = zip(links, names, names[1:], strict=False)
    said = sum((flow * cost[a[:, None], b[None, :]]).sum() for flow, a, b in pairs)
    assert hop_cost(moved, problem) == pytest.approx(said)
    before, after = (np.sort(m.rank_loads(problem.loads), axis=1) for m in (placed, moved))
    np.testing.assert_allclose(before, after)


def test_unequal_ranks_trade_names_only_with_their_like():
    problem = problem_of(5, 3, experts=8)  # 3, 3 and 2 experts a rank
    placement = solve(problem, "two-stage")
    assert problem.slots_per_rank.tolist() == [3, 3, 2]
    assert placement.scores["hops"] <= solve(problem, "lpt-swaps").scores["hops"] + 1e-12


@pytest.mark.parametrize("pose", [problem_of, two_nodes])
@pytest.mark.parametrize("seed", range(3))
def test_two_stages_never_hop_more_than_balance_alone_at_the_same_balance(pose, seed):
    problem = pose(seed, 4, experts=16, layers=6)
    alone, named = solve(problem, "lpt-swaps"), solve(problem, "two-stage")
    assert hop_cost(named.expert_map, problem) <= hop_cost(alone.expert_map, problem) + 1e-9
    np.testing.assert_allclose(named.rank_max, alone.rank_max)


def test_two_stages_take_copies():
    problem = problem_of(0, 4, experts=16, slots_per_rank=np.full(4, 5))
    alone, named = solve(problem, "replicas"), solve(problem, "two-stage")
    assert named.scores["duplicates"] == 0
    np.testing.assert_allclose(named.rank_max, alone.rank_max)
    assert named.scores["hops"] <= alone.scores["hops"] + 1e-12


def test_moetuners_first_stage_is_within_its_gap_of_brute_force():
    problem = problem_of(1, 4)
    placed = solve(problem, "moetuner", time_limit_s=20)

    def deviation(loads, mean, homes):
        return np.abs(np.bincount(homes, loads, minlength=4) - mean).sum()

    orders = set(itertools.permutations([0, 0, 1, 1, 2, 2, 3, 3]))
    for row, loads in enumerate(problem.loads):
        mean = problem.mean_loads[row]
        best = min(deviation(loads, mean, np.array(homes)) for homes in orders)
        ours = np.abs(placed.expert_map.rank_loads(problem.loads)[row] - mean).sum()
        assert ours <= best / (1 - 0.025) + 1e-6
    assert placed.notes == ()


def test_moetuners_second_stage_is_within_its_gap_of_brute_force_on_two_nodes():
    problem = two_nodes(2)
    _, links = links_of(problem)
    cost = problem.hop_costs()
    start = chain.names_by_worst_link(links, problem.slots_per_rank)
    names, notes = names_by_search(problem, links, start, 30.0, 0)
    best = min(
        # The first layer's names matter now that links differ.
        chain.worst_links(links, np.array([np.array(first), *rest]), cost).sum()
        for first in itertools.permutations(range(4))
        for rest in ([a, b] for a, b in itertools.product(ORDERS, repeat=2))
    )
    assert notes == ()
    assert chain.worst_links(links, names, cost).sum() <= best / (1 - 0.025) + 1e-6


ORDERS = [np.array(order) for order in itertools.permutations(range(4))]


def test_moetuner_says_what_it_could_not_do():
    problem = two_nodes(3, 32, experts=64, layers=3)
    notes = solve(problem, "moetuner", time_limit_s=0.1).notes
    assert any("too many" in note for note in notes)
    assert any("without proof" in note for note in notes)


def most_kept(flows, experts, ones):
    """The best halving by trying all."""
    rows = [
        np.isin(np.arange(experts), some) for some in itertools.combinations(range(experts), ones)
    ]
    return max(
        kept(flows, np.array(sides)) for sides in itertools.product(rows, repeat=len(flows) + 1)
    )


@given(st.integers(0, 2**32), st.sampled_from([2, 3]))
@settings(deadline=None, max_examples=10)
def test_the_integer_programme_of_a_halving_equals_brute_force(seed, ones):
    rng = np.random.default_rng(seed)
    flows = [np.floor(rng.lognormal(2, 1, (5, 5))) for _ in range(2)]
    start = halved(flows, 5, ones, rng)
    found, proven = _searched(flows, start, ones, 30.0, 0)
    best = most_kept(flows, 5, ones)
    assert proven
    assert kept(flows, found) == pytest.approx(best)
    assert 0.9 * best <= kept(flows, start) <= best + 1e-9
    assert (start.sum(axis=1) == ones).all()


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_exflow_fills_ranks_by_count_and_hops_less_than_balance_alone(ranks):
    problem = problem_of(4, ranks, experts=12, layers=4, affinity=2.0)
    placed = solve(problem, "exflow", time_limit_s=1)
    assert (placed.expert_map.copies() == 1).all()
    assert placed.scores["hops"] < solve(problem, "two-stage").scores["hops"]
    assert placed.hops is not None
    assert placed.hops.reached >= placed.hops.bound * (1 - 1e-9)
    assert f"of {ranks - 1} halvings" in placed.notes[0]


def test_exflow_parts_nodes_before_ranks():
    near = solve(two_nodes(4, 4, experts=16, layers=4), "exflow", time_limit_s=1)
    spread = solve(two_nodes(4, 4, experts=16, layers=4), "two-stage")
    assert near.scores["node_hops"] < spread.scores["node_hops"]


def test_without_transitions_exflow_says_what_it_needs():
    problem = msgspec.structs.replace(problem_of(0), transitions=None)
    with pytest.raises(BadInput, match="which expert follows which"):
        solve(problem, "exflow")
    assert solve(problem, "two-stage").hops is None


@pytest.mark.parametrize(
    ("method", "search"), [("moetuner", "moetuner._cluster"), ("exflow", "exflow.halved")]
)
def test_stopped_by_hand_a_search_hands_back_what_it_has(method, search, monkeypatch):
    calls = []

    def stopped(*args):
        calls.append(args)
        raise KeyboardInterrupt

    monkeypatch.setattr(f"moesaic.placement.solvers.{search}", stopped)
    placed = solve(problem_of(0), method)
    assert placed.interrupted
    assert len(calls) == 1
    assert (placed.expert_map.copies() == 1).all()


@pytest.mark.parametrize("method", ["moetuner", "exflow"])
def test_methods_of_one_copy_refuse_spare_slots(method):
    problem = problem_of(0, 4, slots_per_rank=np.full(4, 3))
    with pytest.raises(BadInput, match="one slot"):
        solve(problem, method)


@pytest.mark.parametrize("method", ["exflow", "moetuner"])
def test_an_interrupt_ends_all_searches_with_the_best_so_far(method):
    """CP-SAT's own handler would end one search and let the next begin."""
    problem = Problem.of(topical(16, 2, 2000, 12, 1.5, 0), 8)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    start = time.perf_counter()
    timer.start()
    placement = solve(problem, method, 60.0)
    timer.cancel()
    assert placement.interrupted
    assert time.perf_counter() - start < 30
    assert placement.hops is not None
    assert verify(problem, placement).hops is True
