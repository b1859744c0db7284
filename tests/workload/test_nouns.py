"""Do the nouns keep what they promise, and refuse what cannot be?"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import (
    ExpertMap,
    Experts,
    Parallel,
    RoutingCounts,
    RoutingTrace,
    chance_of,
    contiguous,
    load,
    make_step,
    step_from_trace,
    synthetic,
)
from moesaic.workload.config import from_config

IDS = np.array([[[0, 1]], [[1, 2]], [[3, -1]]], np.int16)
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "intermediate_size": 128,
    "vocab_size": 100,
}


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 99), st.data())
def test_counts_by_window_equal_the_plain_loop(tokens, layers, seed, data):
    trace = synthetic.zipf(5, 2, tokens, layers, 0.5, seed)
    windows = data.draw(st.integers(1, tokens))
    counts = trace.counts(windows)
    bounds = np.linspace(0, tokens, windows + 1).astype(int)
    for window in range(windows):
        for layer in range(layers):
            ids = trace.expert_ids[bounds[window] : bounds[window + 1], layer].ravel().tolist()
            assert counts.loads[window, layer].tolist() == [ids.count(e) for e in range(5)]
    assert counts.total().sum() == tokens * layers * 2


def test_tokens_that_took_fewer_experts_are_counted_as_such():
    trace = RoutingTrace(expert_ids=IDS, experts=4, layers=(5,))
    assert trace.counts().total().tolist() == [[1, 2, 1, 1]]
    assert (trace.tokens, trace.top_k) == (3, 2)


def test_a_selection_keeps_the_columns_together():
    trace = RoutingTrace(expert_ids=IDS, experts=4, layers=(0,), position=np.array([4, 5, 6]))
    part = trace.select(np.array([True, False, True]))
    assert part.position is not None
    assert part.position.tolist() == [4, 6]
    assert part.expert_ids[:, 0, 0].tolist() == [0, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"expert_ids": IDS[:, 0]},
        {"expert_ids": IDS.astype(np.int32)},
        {"expert_ids": np.zeros_like(IDS)},
        {"expert_ids": np.full_like(IDS, -1)},
        {"experts": 3},
        {"layers": (0, 1)},
        {"position": np.arange(2)},
        {"position": np.array([0, -1, 2])},
        {"weights": np.ones((3, 1, 1), np.float32)},
        {"weights": np.full((3, 1, 2), np.nan, np.float32)},
    ],
)
def test_impossible_traces_are_refused(change):
    with pytest.raises(BadInput):
        RoutingTrace(**({"expert_ids": IDS, "experts": 4, "layers": (0,)} | change))


@pytest.mark.parametrize(
    "change",
    [
        {"loads": np.zeros((1, 1, 4))},
        {"loads": np.array([[[1, -1.0]]])},
        {"loads": np.array([[[1, np.inf]]])},
        {"loads": np.ones((1, 4))},
        {"layers": (1, 2)},
        {"tokens": np.ones(2)},
        {"names": ("a", "b")},
        {"pairs": ((0, 1),)},
        {"transitions": np.ones((1, 4, 4))},
        {"transitions": -np.ones((1, 4, 4)), "pairs": ((0, 1),)},
    ],
)
def test_impossible_counts_are_refused(change):
    with pytest.raises(BadInput):
        RoutingCounts(**({"loads": np.ones((1, 1, 4)), "layers": (0,)} | change))


@given(st.integers(1, 60), st.data())
def test_contiguous_runs_differ_by_one_and_the_first_are_longer(experts, data):
    ranks = data.draw(st.integers(1, experts))
    plan = contiguous(experts, ranks, (0, 1))
    sizes = np.bincount(plan.ranks, minlength=ranks).tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
    assert plan.devices == ranks
    assert (plan.copies() == 1).all()


def test_replicas_share_the_tokens_of_their_expert():
    slots = np.array([[0, 1, 0]], np.int32)
    plan = ExpertMap(slots=slots, ranks=np.array([0, 0, 1], np.int32), layers=(0,), experts=2)
    assert plan.rank_loads(np.array([[10.0, 4.0]])).tolist() == [[9, 5]]


def test_a_map_that_forgets_an_expert_is_refused():
    with pytest.raises(BadInput, match="expert 1 of layer 3"):
        ExpertMap(
            slots=np.zeros((1, 2), np.int32),
            ranks=np.zeros(2, np.int32),
            layers=(3,),
            experts=2,
        )
    with pytest.raises(BadInput, match="between 1 and the 4"):
        contiguous(4, 5, (0,))


def test_degrees_that_do_not_divide_are_refused():
    model = load.model("mixtral-8x7b")
    Parallel(tp=2, dp=2, ep=4).check(model)
    with pytest.raises(BadInput, match="attention heads"):
        Parallel(tp=3).check(model)
    with pytest.raises(BadInput, match="exceeds the 8 experts"):
        Parallel(tp=16, ep=16).check(model)
    with pytest.raises(BadInput, match="exceeds the 32 layers"):
        Parallel(pp=33).check(model)
    with pytest.raises(ValueError, match="does not divide"):
        Parallel(tp=2, ep=3)


@given(st.integers(1, 100), st.integers(1, 12))
def test_stages_cover_all_layers_in_order(layers, pp):
    stages = Parallel(pp=pp).stages(layers)
    assert [layer for stage in stages for layer in stage] == list(range(layers))
    sizes = [len(stage) for stage in stages]
    assert max(sizes) - min(sizes) <= 1


def test_more_experts_a_token_than_experts_are_refused():
    with pytest.raises(ValueError, match="exceeds"):
        Experts(count=2, top_k=3, inter=4)


@pytest.mark.parametrize(
    "words",
    [{}, {"batch": -1}, {"prefill": -1}, {"batch": 1, "context": -1},
     {"prefill": 1, "cached": -1}, {"prefill": 1, "prefill_requests": 0},
     {"batch": 1, "chance": np.ones(7)}, {"batch": 1, "chance": np.ones(8)},
     {"batch": 1, "chance": np.full(8, np.nan)}, {"batch": 1, "chance": [2, 0, 0, 0, 0, 0, 0, 0]}],
)  # fmt: skip
def test_impossible_steps_are_refused(words):
    with pytest.raises(BadInput):
        make_step(load.model("mixtral-8x7b"), **words)


def test_a_step_of_recorded_tokens_has_their_loads():
    model = from_config(TINY)
    drawn = synthetic.zipf(16, 2, 6, 4, 1.0, seed=1)
    trace = RoutingTrace(
        expert_ids=drawn.expert_ids,
        experts=16,
        layers=(0, 1, 2, 3),
        request_id=np.array([5, 5, 5, 8, 8, 9]),
        position=np.array([2, 3, 4, 0, 1, 77]),
        is_decode=np.array([0, 0, 0, 0, 0, 1], bool),
    )
    step = step_from_trace(model, trace)
    shapes = sorted((c.tokens, c.cached, c.requests) for c in step.chunks)
    assert shapes == [(2, 0, 1), (3, 2, 1)]
    assert [(d.requests, d.context) for d in step.decode] == [(1, 77)]
    assert (step.loads == trace.counts().total()).all()
    assert ((step.loads > 0) == step.touched).all()
    assert step.routing is not None
    assert (step.routing == trace.expert_ids).all()
    some = step_from_trace(model, trace, np.array([0, 5]))
    assert some.tokens == 2
    assert some.loads.sum() == 2 * 4 * 2


def test_a_shorter_trace_repeats_only_when_asked():
    model = from_config(TINY)
    trace = synthetic.zipf(16, 2, 50, 3, 1.0, seed=1)
    with pytest.raises(BadInput, match="3 layers; model has 4"):
        step_from_trace(model, trace, context=9)
    step = step_from_trace(model, trace, context=9, tile=True)
    assert (step.loads[3] == step.loads[0]).all()
    chance = chance_of(trace, model, tile=True)
    assert make_step(model, batch=4, context=9, chance=chance).loads.sum() == pytest.approx(32)


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (synthetic.zipf(8, 2, 50, 4, 1.0, 1), "8 experts; model has 16"),
        (synthetic.zipf(16, 2, 50, 5, 1.0, 1), "5 layers; model has 4"),
        (synthetic.zipf(16, 3, 50, 4, 1.0, 1), "3 experts a token"),
    ],
)
def test_a_trace_of_another_model_is_refused(trace, words):
    with pytest.raises(BadInput, match=words):
        step_from_trace(from_config(TINY), trace, context=9)


def test_a_trace_without_positions_needs_a_context():
    with pytest.raises(BadInput, match="positions"):
        step_from_trace(from_config(TINY), synthetic.zipf(16, 2, 5, 4, 1.0, 1))


def test_a_trace_through_two_stacks_is_refused():
    with pytest.raises(BadInput, match="encoder"):
        step_from_trace(load.model("switch-base-8"), synthetic.zipf(8, 1, 5, 12, 1.0, 1), context=1)


def test_chances_of_counts_sum_to_top_k():
    model = from_config(TINY)
    counts = synthetic.zipf(16, 2, 500, 4, 1.0, 1).counts(windows=3)
    chance = chance_of(counts, model)
    assert chance.sum(axis=1) == pytest.approx(2)
    assert chance == pytest.approx(chance_of(synthetic.zipf(16, 2, 500, 4, 1.0, 1)))
    with pytest.raises(BadInput, match="top_k"):
        chance_of(counts)
    lopsided = RoutingCounts(loads=np.eye(16)[None, :4], layers=(0, 1, 2, 3))
    with pytest.raises(BadInput, match="more tokens"):
        chance_of(lopsided, model)
    empty = RoutingCounts(loads=np.eye(4, 16)[None] * [[[1], [1], [1], [0]]], layers=(0, 1, 2, 3))
    with pytest.raises(BadInput, match="layer 3"):
        chance_of(empty, model)
