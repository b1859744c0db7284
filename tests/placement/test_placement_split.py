"""Homes among unequal units and in memory spaces: bounds that hold, searches that meet them."""

from __future__ import annotations

import itertools
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware.load import device
from moesaic.placement.bounds.uneven import prove, proven_s
from moesaic.placement.solvers.split import SPLITS, split
from moesaic.placement.uneven import Uneven
from moesaic.roofline.bound import units
from moesaic.simulator.step.coprocess import by_space, exact
from moesaic.simulator.step.expert_time import TimeCurve
from moesaic.sweeps.placements.uneven import split_trials, steps_of
from moesaic.workload import RoutingCounts, RoutingTrace
from moesaic.workload.load import model

OLMOE = "examples/data/olmoe_repo_counts.npz"


def curves(name="olmoe-1b-7b"):
    xpu, pim = (TimeCurve.of(model(name), unit) for unit in units(device("duplex")))
    return xpu, pim


def loads(experts, windows=5, layers=2, seed=0):
    rng = np.random.default_rng(seed)
    popularity = rng.lognormal(2.5, 1, (1, layers, experts))
    return rng.poisson(popularity, (windows, layers, experts)).astype(np.float64)


def spaces(experts, count=4, **shape):
    xpu, pim = curves()
    found = loads(experts, **shape)
    return Uneven.spaces(found, tuple(range(found.shape[1])), xpu, pim, count)


def fixed(experts, slots=None, **shape):
    found = loads(experts, **shape)
    return Uneven.fixed(found, tuple(range(found.shape[1])), curves(), slots)


def expected_by_hand(problem, homes):
    """The mean over windows of the best way's slowest unit, written out."""
    means = []
    for layer, row in enumerate(homes):
        of_windows = []
        for window in range(problem.seconds.shape[1]):
            seconds = problem.seconds[:, window, layer]
            of_windows.append(min(
                max(seconds[unit, way[row] == unit].sum() for unit in range(len(seconds)))
                for way in problem.ways
            ))  # fmt: skip
        means.append(np.mean(of_windows))
    return np.array(means)


@pytest.mark.parametrize("problem", [spaces(16), fixed(9)], ids=["spaces", "fixed"])
def test_the_expected_makespan_is_that_of_the_best_way_in_each_window(problem):
    homes = np.random.default_rng(1).permuted(
        np.tile(np.arange(problem.experts) % problem.groups, (2, 1)), axis=1
    )
    assert problem.expected_s(homes) == pytest.approx(expected_by_hand(problem, homes))


def test_round_robin_spaces_are_those_of_the_layer_by_layer_rule():
    problem = spaces(32)
    found = split(problem, "round-robin")
    xpu_s, pim_s = problem.seconds.reshape(2, -1, 32)
    assert found.expected_s.sum() == pytest.approx(by_space(xpu_s, pim_s).makespan_s.sum() / 5)


@given(st.integers(0, 1000), st.sampled_from([(8, 4), (8, 2), (6, 3), (6, 2)]))
def test_no_homes_in_spaces_go_below_the_bound_and_the_search_finds_the_best(seed, shape):
    problem = spaces(*shape, seed=seed, layers=1, windows=3)
    best = min(
        float(problem.expected_s(np.array([homes]))[0])
        for homes in set(itertools.permutations(np.arange(shape[0]) % shape[1]))
    ) if shape[0] == 6 else split(problem).expected_s[0]  # fmt: skip
    assert split(problem).expected_s[0] == pytest.approx(best)
    assert split(problem).proven
    assert proven_s(problem, 0, prove(problem, 0)) <= best * (1 + 1e-9)


@given(st.integers(0, 1000), st.sampled_from([None, (4, 4), (2, 6)]))
def test_no_fixed_homes_go_below_the_bound_and_the_search_finds_the_best(seed, slots):
    problem = fixed(7, slots, seed=seed, layers=1, windows=3)
    tried = np.array([
        homes for homes in itertools.product((0, 1), repeat=7)
        if slots is None or (homes.count(0) <= slots[0] and homes.count(1) <= slots[1])
    ])  # fmt: skip
    best = min(float(problem.expected_s(homes[None])[0]) for homes in tried)
    assert split(problem).expected_s[0] == pytest.approx(best)
    assert proven_s(problem, 0, prove(problem, 0)) <= best * (1 + 1e-9)


@pytest.mark.parametrize("problem", [spaces(64), fixed(64, (48, 40))], ids=["spaces", "fixed"])
def test_any_weights_prove_a_bound_and_the_chosen_ones_a_better_one(problem):
    found = split(problem)
    rng = np.random.default_rng(0)
    for layer, proof in enumerate(found.proofs):
        assert proof is not None
        chosen = proven_s(problem, layer, proof)
        drawn = rng.random(proof.weights.shape)
        if problem.is_fixed:
            drawn /= drawn.sum(axis=1, keepdims=True)
        other = proven_s(problem, layer, msgspec.structs.replace(proof, weights=drawn))
        assert other <= chosen <= found.expected_s[layer]


def test_a_proof_is_checked_in_a_few_lines_of_its_own():
    """Weights w: max(x, p) >= w x + (1 - w) p; the PIM has 0, 16, 32, 48 or 64 experts."""
    problem = spaces(64)
    proof = prove(problem, 1)
    windows = []
    for window, weights in enumerate(proof.weights):
        xpu, pim = problem.seconds[:, window, 1]
        windows.append(min(
            w * xpu.sum() + np.sort((1 - w) * pim - w * xpu)[: 16 * count].sum()
            for count, w in enumerate(weights)
        ))  # fmt: skip
    assert proven_s(problem, 1, proof) == pytest.approx(np.mean(windows))


def test_the_bound_of_spaces_is_no_lower_than_that_of_free_experts_with_such_counts_allowed():
    problem = spaces(64)
    xpu_s, pim_s = problem.seconds.reshape(2, -1, 64)
    free = exact(xpu_s, pim_s).makespan_s.sum() / 5
    assert split(problem).expected_s.sum() >= free * (1 - 1e-9)


@pytest.mark.parametrize(
    "problem",
    [spaces(64, seed=3), fixed(64, seed=3), fixed(64, (60, 20), seed=3)],
    ids=["spaces", "fixed", "slots"],
)
def test_the_search_is_never_worse_than_its_starts_and_near_its_bound(problem):
    found = {name: split(problem, name) for name in SPLITS}
    least = min(one.expected_s.sum() for one in found.values())
    assert found["search"].expected_s.sum() == pytest.approx(least)
    assert 0 <= found["search"].gap < 0.1
    for one in found.values():
        problem.check(one.homes)


def test_hot_experts_stay_on_the_xpu_and_cold_ones_on_the_pim():
    tokens = np.tile([400.0, 1, 300, 2, 500, 1, 2, 350], (3, 1, 1))
    found = split(Uneven.fixed(tokens, (0,), curves()))
    assert found.proven
    assert (found.homes[0][tokens[0, 0] > 100] == 0).all()
    assert (found.homes[0][tokens[0, 0] < 100] == 1).all()


def test_three_units_with_slots_are_filled():
    xpu, pim = curves()
    found = loads(24, layers=1)
    problem = Uneven.fixed(found, (0,), (xpu, xpu, pim), (6, 6, 12))
    for name in SPLITS:
        one = split(problem, name)
        assert np.bincount(one.homes[0], minlength=3).tolist() == [6, 6, 12]
        assert one.bound_s[0] <= one.expected_s[0] * (1 + 1e-9)


def test_what_is_learnt_helps_steps_that_were_not_seen():
    popularity = np.random.default_rng(0).lognormal(0, 1.5, (4, 2, 64))
    counts = RoutingCounts(loads=np.tile(popularity[:1], (4, 1, 1)), layers=(0, 1))
    learn, fresh = steps_of(counts, model("olmoe-1b-7b"), 128, 4, seed=0)
    assert learn.shape == fresh.shape == (4, 2, 64)
    assert (learn.sum(axis=2) == 128 * 8).all()
    xpu, pim = curves()
    problems = [Uneven.spaces(part, (0, 1), xpu, pim, 4) for part in (learn, fresh)]
    found = split_trials(problems[0], problems[1])
    unseen = {trial.found.method: trial.unseen_s for trial in found.trials}
    assert found.free_s <= unseen["search"] < unseen["round-robin"] <= found.alone_s


def test_steps_of_a_trace_keep_its_tokens_apart():
    ids = np.random.default_rng(0).permuted(np.tile(np.arange(64), (200, 2, 1)), axis=2)[..., :8]
    trace = RoutingTrace(
        expert_ids=ids.astype(np.int16),
        experts=64,
        layers=(0, 1),
        request_id=np.arange(200) // 10,
    )
    learn, fresh = steps_of(trace, model("olmoe-1b-7b"), 20, 99, seed=0)
    assert learn.shape == fresh.shape == (5, 2, 64)
    total = trace.counts().total()
    assert (learn.sum(axis=0) + fresh.sum(axis=0) == total).all()
    with pytest.raises(BadInput, match="batch"):
        steps_of(trace, model("olmoe-1b-7b"), 101, 1, seed=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: spaces(10), "spaces"),
        (lambda: spaces(8, 1), "spaces"),
        (lambda: fixed(8, (3, 4)), "slots"),
        (lambda: fixed(8, (8,)), "slots"),
        (lambda: Uneven.fixed(loads(8), (0, 1), curves()[:1]), "units"),
        (lambda: Uneven.fixed(loads(8), (0,), curves()), "seconds"),
        (lambda: Uneven.fixed(loads(8)[0], (0,), curves()), "loads"),
        (lambda: split(spaces(8), "best"), "way to split"),
        (lambda: split(spaces(8), seed=-1), "seed"),
        (lambda: spaces(8).check(np.zeros((2, 8), np.int64)), "homes"),
        (lambda: spaces(8).check(np.zeros((1, 8), np.int64)), "homes"),
    ],
)
def test_questions_without_an_answer_are_refused(make, says):
    with pytest.raises(BadInput, match=says):
        make()


def test_the_command_shows_every_way_and_writes_homes(tmp_path, capsys):
    out = tmp_path / "homes.json"
    words = ["place", "split", OLMOE, "--part", "olmoe1b7b", "--model", "olmoe-1b-7b"]
    words += ["--batch", "32", "--steps", "4", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["method"] for row in shown["methods"]] == list(SPLITS)
    assert json.loads(out.read_text()) == shown
    homes = np.array(shown["methods"][-1]["homes"])
    assert (np.sort(homes, axis=1) == np.repeat(np.arange(4), 16)).all()
    assert main([*words, "--fixed"]) == 0
    assert "Bound on learnt steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--spaces", "5"], "divide the 64 experts"),
        (["--on", "h100-sxm"], "no PIM"),
        (["--on", "samsung-hbm-pim"], "no PIM with a host"),
        (["--model", "mixtral-8x7b"], "64 experts; mixtral-8x7b has 8"),
        (["--batch", "0"], "at least 1"),
        (["--spaces", "4", "--fixed"], "--spaces: goes without --fixed"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_the_command_refuses_in_one_sentence(words, says, capsys):
    given = ["place", "split", OLMOE, "--part", "olmoe1b7b", "--steps", "2"]
    given += [] if "--model" in words else ["--model", "olmoe-1b-7b"]
    assert main([*given, *words]) == 2
    shown = capsys.readouterr()
    assert says in " ".join(shown.err.split())
    assert not shown.out
