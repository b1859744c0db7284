"""The layer that is timed on this CPU computes what a MoE layer is defined to compute."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.measured import cpu_layer
from moesaic.measured.cpu_layer import Shape


def plain(layer, x):
    """Token by token: softmax over the chosen logits, each expert as written in a paper."""
    out = np.zeros_like(x, dtype=np.float64)
    inter = layer.down.shape[1]
    for t, row in enumerate(x.astype(np.float64)):
        logits = row @ layer.router
        chosen = np.argsort(-logits)[: layer.top_k]
        weights = np.exp(logits[chosen]) / np.exp(logits[chosen]).sum()
        for expert, weight in zip(chosen, weights, strict=True):
            both = row @ layer.gate_up[expert]
            gate, up = both[:inter], both[inter:]
            out[t] += weight * ((gate / (1 + np.exp(-gate)) * up) @ layer.down[expert])
    return out


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.integers(1, 24),
    inter=st.integers(1, 24),
    experts=st.integers(1, 9),
    tokens=st.integers(0, 20),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_the_grouped_products_equal_the_plain_definition(
    hidden, inter, experts, tokens, seed, data
):
    top_k = data.draw(st.integers(1, experts))
    layer = cpu_layer.make(Shape(hidden, inter, experts, top_k), seed)
    x = cpu_layer.inputs(hidden, tokens, seed)
    assert cpu_layer.forward(layer, x) == pytest.approx(plain(layer, x), rel=1e-3, abs=1e-4)


def test_the_same_seed_gives_the_same_output():
    first, again, other = (cpu_layer.run(16, 8, 4, 2, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert first.shape == (5, 16)
    assert first.dtype == np.float32


def test_with_one_expert_the_layer_is_a_dense_block():
    layer = cpu_layer.make(Shape(8, 6, 1, 1), 3)
    x = cpu_layer.inputs(8, 4, 3)
    gate, up = np.split(x @ layer.gate_up[0], 2, axis=1)
    dense = (gate / (1 + np.exp(-gate)) * up) @ layer.down[0]
    assert cpu_layer.forward(layer, x) == pytest.approx(dense, rel=1e-4, abs=1e-5)


def test_the_timings_are_a_table_measured_here():
    table = cpu_layer.measure([Shape(32, 16, 8, 2)], [1, 16], budget_s=0.02)
    assert (len(table), table.kind, table.system) == (2, "moe", "local")
    assert table.evidence == "measured-here"
    assert (table["latency_s"] > 0).all()
    assert table["activated_experts"][0] == 2
    assert table["num_tokens"].tolist() == [1, 16]
    assert 2 <= table["activated_experts"][1] <= 8


def test_more_work_takes_longer():
    table = cpu_layer.measure([Shape(256, 256, 8, 2)], [1, 512], budget_s=0.1)
    assert table["latency_s"][1] > table["latency_s"][0]


@pytest.mark.parametrize("shape", [Shape(8, 8, 4, 5), Shape(0, 8, 4, 2), Shape(2**20, 2**20, 8, 2)])
def test_an_impossible_layer_is_refused(shape):
    with pytest.raises(BadInput):
        cpu_layer.make(shape, 0)


def test_an_empty_set_is_refused():
    with pytest.raises(BadInput, match="at least one"):
        cpu_layer.measure([], [1])
