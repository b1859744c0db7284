"""LLEP's spill plans: tokens conserved, the cap kept, the published rules, figure 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import system
from moesaic.placement.dispatch import spill, spill_map
from moesaic.placement.dispatch.figure4 import (
    LAYERS,
    PUBLISHED,
    RANKS,
    fitted_rows,
    machine_rows,
    skewed,
)
from moesaic.workload import ExpertMap

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(1, 6), st.sampled_from([1, 7, 100]), st.sampled_from([1.0, 1.2, 2.0]))
def test_every_token_is_computed_once_and_weights_are_where_tokens_are(seed, ranks, least, alpha):
    rng = np.random.default_rng(seed)
    loads = np.floor(rng.lognormal(3, 1.5, 12)).astype(int)
    homes = rng.integers(0, ranks, 12)
    plan = spill(loads, homes, ranks, alpha=alpha, least_chunk=least)
    assert (plan.tokens >= 0).all()
    assert (plan.tokens.sum(axis=1) == loads).all()
    away = plan.tokens > 0
    away[np.arange(12), homes] = False
    assert (plan.fetched == away).all()


@given(seeds, st.integers(1, 6), st.sampled_from([1.0, 1.2]))
def test_with_chunks_of_any_size_no_rank_passes_the_cap_and_nothing_is_forced(seed, ranks, alpha):
    rng = np.random.default_rng(seed)
    loads = np.floor(rng.lognormal(3, 1.5, 12)).astype(int)
    plan = spill(loads, rng.integers(0, ranks, 12), ranks, alpha=alpha, least_chunk=1, trigger=1)
    assert plan.forced == 0
    assert plan.loads.max() <= math.ceil(alpha * loads.sum() / ranks)


def test_a_plan_by_hand():
    # Mean 100. Expert 0 keeps 90 beside the 10 that expert 1 will bring; 210 spill: 80 to rank 2
    # (20 of its own), then 70 to rank 1 and 60 to rank 3, the least loaded first.
    plan = spill(np.array([300, 10, 30, 20, 40]), np.array([0, 0, 1, 2, 3]), 4, least_chunk=1)
    assert plan.tokens[0].tolist() == [90, 70, 80, 60]
    assert plan.loads.tolist() == [100, 100, 100, 100]
    assert plan.fetched.sum() == 3


def test_chunks_too_small_for_their_weights_are_passed_over_or_forced():
    loads, homes = np.array([120, 80, 100]), np.array([0, 1, 2])
    exact = spill(loads, homes, 3, least_chunk=1, trigger=1.0)
    assert exact.loads.tolist() == [100, 100, 100]
    # The last 20 are all that is left, so they may go though they are few.
    assert spill(loads, homes, 3, least_chunk=50, trigger=1.0).loads.tolist() == [100, 100, 100]
    # 60 over the cap, room for 30 here and 30 there: neither is worth it, so all go to rank 1. Of
    # its own 70 it then keeps 40, and the last 30 find room on rank 2.
    forced = spill(np.array([160, 70, 70]), homes, 3, least_chunk=50)
    assert forced.forced == 1
    assert forced.tokens.tolist() == [[100, 60, 0], [0, 40, 30], [0, 0, 70]]


def test_below_the_trigger_plain_expert_parallelism_runs():
    loads, homes = np.array([12, 10, 8]), np.array([0, 1, 2])
    assert spill(loads, homes, 3).loads.tolist() == [12, 10, 8]
    assert not spill(loads, homes, 3).fetched.any()
    assert spill(loads, homes, 3, trigger=1.1, least_chunk=1).loads.tolist() == [10, 10, 10]


@given(seeds)
def test_copies_share_first_and_weights_at_hand_are_not_fetched(seed):
    rng = np.random.default_rng(seed)
    placed = ExpertMap(
        slots=np.array([[0, 1, 2, 0, 3, 1]], np.int32),
        ranks=np.array([0, 0, 1, 1, 2, 2], np.int32),
        layers=(0,),
        experts=4,
    )
    loads = rng.integers(0, 1000, 4)
    plan = spill_map(placed, 0, loads, least_chunk=1, trigger=1)
    assert (plan.tokens.sum(axis=1) == loads).all()
    assert plan.loads.max() <= -(-loads.sum() // 3)
    here = np.zeros((4, 3), bool)
    here[placed.slots[0], placed.ranks] = True
    assert (plan.fetched == ((plan.tokens > 0) & ~here)).all()


def test_a_step_without_tokens_is_balanced():
    plan = spill(np.zeros(3, int), np.arange(3), 3)
    assert plan.imbalance == 1.0
    assert plan.loads.tolist() == [0, 0, 0]


@pytest.mark.parametrize("rows", [fitted_rows(), machine_rows(system("dgx-h200"))])
def test_figure_4_comes_out_within_a_tenth_on_average(rows):
    assert len(rows) == len(PUBLISHED) * len(LAYERS)
    for name in LAYERS:
        errors = np.array([row.error for row in rows if row.case.startswith(name)])
        assert np.sqrt((errors**2).mean()) <= 0.101
        assert abs(errors).max() < 0.2


def test_the_fit_is_the_published_closed_form():
    layer = LAYERS["gpt-oss-120b"]
    row = next(row for row in fitted_rows() if row.case == "gpt-oss-120b, 95% into 16")
    # All 16 hot experts live on the first of 8 ranks.
    assert row.ours == pytest.approx((0.95 * 8 + layer.fixed) / (1 + layer.fixed), rel=1e-3)
    assert row.error == pytest.approx(row.ours / 5.19 - 1)


@given(st.sampled_from(sorted(LAYERS)), st.sampled_from(sorted(PUBLISHED)))
def test_the_skewed_loads_sum_to_all_tokens(name, case):
    layer = LAYERS[name]
    loads = skewed(layer, *case)
    assert loads.sum() == layer.tokens_per_rank * layer.top_k * RANKS
    if case[0]:
        assert loads[: case[1]].sum() == pytest.approx(case[0] * loads.sum(), abs=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"loads": np.array([1, 2])}, "needs"),
        ({"loads": np.array([1.5, 2, 3])}, "whole tokens"),
        ({"loads": np.array([-1, 2, 3])}, "whole tokens"),
        ({"homes": np.array([0, 1, 3])}, r"0\.\.2"),
        ({"alpha": 0.9}, "at least 1"),
        ({"alpha": float("nan")}, "at least 1"),
        ({"least_chunk": 0}, "at least 1 token"),
        ({"trigger": 0.5}, "at least 1"),
    ],
)
def test_bad_words_are_refused(change, sentence):
    asked = {"loads": np.array([1, 2, 3]), "homes": np.arange(3), "ranks": 3} | change
    with pytest.raises(BadInput, match=sentence):
        spill(**asked)
