"""Is the number of distinct experts that a batch touches exact?"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import chance_of, inclusion_chance, load, make_step, readers, touch_chance
from moesaic.workload.synthetic import plackett_luce, zipf_weights
from moesaic.workload.trace import count_experts

SHAPES = sorted({(load.model(n).experts.count, load.model(n).experts.top_k) for n in load.names()})
TRACES = ["mixtral_E16k2_seed0", "deepseek_E32k4s1_seed1"]


def _sampled(experts: int, top_k: int, exponent: float, batch: int) -> float:
    """Distinct experts touched by a batch, by drawing many batches from the router itself."""
    batches = 100_000 // experts
    weights = zipf_weights(experts, exponent)
    ids = plackett_luce(weights, top_k, batches * batch, seed=7).expert_ids
    group = np.repeat(np.arange(batches), batch)
    return float((count_experts(ids, experts, group, batches) > 0).sum() / batches)


@pytest.mark.parametrize(("experts", "top_k"), SHAPES)
@pytest.mark.parametrize(("exponent", "batch"), [(0.0, 16), (1.0, 4), (1.0, 16)])
def test_distinct_experts_are_within_one_percent_of_monte_carlo(experts, top_k, exponent, batch):
    """The shapes of all bundled models."""
    per_token = inclusion_chance(zipf_weights(experts, exponent), top_k)
    exact = touch_chance(per_token, batch).sum()
    assert exact == pytest.approx(_sampled(experts, top_k, exponent, batch), rel=0.01)


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("batch", [4, 16, 64])
def test_a_recorded_trace_drawn_at_random_agrees_within_one_percent(name, batch, data_folder):
    trace = readers.read_npz_trace(data_folder / f"tiny_{name}.npz")
    chosen = np.random.default_rng(3).integers(trace.tokens, size=(1000, batch))
    group = np.repeat(np.arange(1000), batch)
    drawn = count_experts(trace.expert_ids[chosen.ravel()], trace.experts, group, 1000) > 0
    exact = touch_chance(chance_of(trace), batch)
    assert drawn.mean() == pytest.approx(exact.mean(), rel=0.01)


@pytest.mark.parametrize("name", load.names())
def test_the_default_step_of_every_model_is_uniform(name):
    model = load.model(name)
    # One prefilled prompt and two decoding requests: whichever stack sees a token, it touches.
    step = make_step(model, batch=16, context=10, prefill=16)
    e, k = model.experts.count, model.experts.top_k
    tokens = 16 if model.two_stacks else 32
    assert step.touched.sum(axis=1) == pytest.approx(e * (1 - (1 - k / e) ** tokens))
    assert step.loads.sum(axis=1) == pytest.approx(tokens * k)


def _brute(weights: list[float], top_k: int) -> list[float]:
    """Every order of drawing `top_k` experts, one by one."""
    chance = [0.0] * len(weights)
    for order in itertools.permutations(range(len(weights)), top_k):
        probability = 1.0
        for place, expert in enumerate(order):
            # What is left is added up, never subtracted, so that no digit is lost.
            left = sum(w for e, w in enumerate(weights) if e not in order[:place])
            probability *= weights[expert] / left
        for expert in order:
            chance[expert] += probability
    return chance


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=6).flatmap(
        lambda weights: st.tuples(st.just(weights), st.integers(1, len(weights)))
    )
)
def test_inclusion_equals_every_order_of_drawing(case):
    weights, top_k = case
    assert inclusion_chance(weights, top_k) == pytest.approx(_brute(weights, top_k), rel=1e-8)


def test_inclusion_with_weights_twelve_orders_apart():
    weights = [1.0, 1e-12, 1e-13]
    assert inclusion_chance(weights, 2) == pytest.approx(_brute(weights, 2), rel=1e-8)


def test_inclusion_sums_to_top_k_and_ranks_by_weight():
    chance = inclusion_chance(zipf_weights(512, 1.2), 8)
    assert chance.sum() == pytest.approx(8)
    assert (np.diff(chance) < 0).all()
    assert chance.max() < 1
    assert inclusion_chance([1.0] * 10, 3) == pytest.approx([0.3] * 10)


def test_an_expert_of_no_weight_is_never_drawn():
    assert inclusion_chance([3, 0, 1, 0], 1) == pytest.approx([0.75, 0, 0.25, 0])
    assert inclusion_chance([3, 0, 1, 0], 2).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("weights", "top_k"),
    [([], 1), ([1, 2], 3), ([1, 0], 2), ([1, -1], 1), ([1, float("nan")], 1), ([[1, 2]], 1)],
)
def test_impossible_draws_are_refused(weights, top_k):
    with pytest.raises(BadInput):
        inclusion_chance(weights, top_k)


def test_touch_chance_at_its_ends():
    assert touch_chance([0, 0.25, 1], 0).tolist() == [0, 0, 0]
    assert touch_chance([0, 0.25, 1], 1) == pytest.approx([0, 0.25, 1])
    assert touch_chance([0, 0.25, 1], 1e9).tolist() == [0, 1, 1]
    # A rare expert keeps its digits: 1 - (1 - p)^T would lose them.
    assert touch_chance(1e-18, 10) == pytest.approx(1e-17, rel=1e-12)
