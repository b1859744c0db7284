"""A fused MoE layer by its tiles: bounded by the roofline, moved only in the right direction."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import (
    PRIOR,
    TERMS,
    Constants,
    ExpertLayer,
    Machine,
    even_load,
    layer_terms,
    load_fitted,
    shipped,
)
from moesaic.simulator.gpu.constants import FREE, limits

H100 = Machine.of(device("h100-sxm"), "bf16")
SIZES = st.sampled_from([64, 128, 256, 768, 1024, 2048, 4096])


def layer_of(tokens, top_k, experts, hidden, inter, gated=True):
    one = np.ones(1)
    return (
        ExpertLayer(
            tokens=one * tokens,
            group_rows=one * tokens * top_k,
            local_experts=one * experts,
            hidden=one * hidden,
            inter=one * inter,
            matrices_in=one * (2 if gated else 1),
            weight_size=2.0,
            activation_size=2.0,
        ),
        even_load(one * tokens * top_k, one * experts),
    )


def seconds(layer, load, machine=H100, constants=PRIOR):
    return float(sum(term[0] for term in layer_terms(layer, load, machine, constants).values()))


def drawn_constants(draw):
    values = {
        name: draw(st.floats(least, most))
        for name, (least, most) in zip(FREE, limits(), strict=True)
    }
    tiling = draw(st.sampled_from(["autotuned", "triton-default"]))
    return Constants(tiling=tiling, **{**values, "resident_share": 0.01})


layers = st.tuples(
    st.integers(1, 4096), st.integers(1, 8), st.sampled_from([8, 32, 128]), SIZES, SIZES
)


@settings(max_examples=150)
@given(st.data(), layers)
def test_no_constants_beat_the_roofline(data, shape):
    constants = drawn_constants(data.draw)
    layer, load = layer_of(*shape)
    tokens, top_k, _, hidden, inter = shape
    flops = 2 * tokens * top_k * hidden * inter * 3
    # A hundredth of the cache may keep weights from one repeat to the next.
    weights = load.touched[0] * hidden * inter * 3 * 2 - 0.01 * H100.cache_bytes
    bound = max(flops / H100.peak_flops_per_s, weights / H100.bandwidth_bytes_per_s)
    assert seconds(layer, load, constants=constants) >= bound * (1 - 1e-9)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("bandwidth_bytes_per_s", 1.5), ("peak_flops_per_s", 1.5), ("cache_bytes", 2.0)],
)
@given(shape=layers)
@settings(max_examples=50)
def test_a_better_machine_is_never_slower(name, factor, shape):
    layer, load = layer_of(*shape)
    better = msgspec.structs.replace(H100, **{name: getattr(H100, name) * factor})
    assert seconds(layer, load, better) <= seconds(layer, load) * (1 + 1e-12)


def test_terms_are_those_promised_and_positive():
    layer, load = layer_of(64, 2, 8, 4096, 14336)
    terms = layer_terms(layer, load, H100, PRIOR)
    assert tuple(terms) == TERMS
    assert all(term[0] > 0 for term in terms.values())


def test_reading_weights_rules_a_small_batch_and_flops_a_large_one():
    layer, load = layer_of(8, 2, 8, 4096, 14336)
    small = layer_terms(layer, load, H100, PRIOR)
    weights = 8 * 3 * 4096 * 14336 * 2 / H100.bandwidth_bytes_per_s
    assert small["gate_up"][0] + small["down"][0] == pytest.approx(weights / 0.9, rel=0.15)
    few, many = (seconds(*layer_of(tokens, 2, 8, 4096, 14336)) for tokens in (8192, 16384))
    assert many / few == pytest.approx(2, rel=0.05)


def test_a_layer_of_many_is_priced_like_each_alone():
    shapes = [(1, 2, 8, 256, 512), (100, 8, 64, 1024, 2048), (4096, 4, 32, 2048, 128)]
    alone = [seconds(*layer_of(*shape)) for shape in shapes]
    tokens, top_k, experts, hidden, inter = (
        np.array(column, float) for column in zip(*shapes, strict=True)
    )
    together = ExpertLayer(
        tokens=tokens,
        group_rows=tokens * top_k,
        local_experts=experts,
        hidden=hidden,
        inter=inter,
        matrices_in=np.full(3, 2.0),
        weight_size=2.0,
        activation_size=2.0,
    )
    terms = layer_terms(together, even_load(tokens * top_k, experts), H100, PRIOR)
    np.testing.assert_allclose(sum(terms.values()), alone)


@pytest.mark.parametrize("gpu", ["h100-sxm", "a100-80gb-sxm", "l40s", "b200-sxm"])
def test_shipped_constants_load_and_say_how_well_they_did(gpu):
    fitted = shipped(gpu)
    assert fitted.gpu == gpu
    assert fitted.command.startswith("moesaic calibrate")
    for family in fitted.family:
        assert fitted.constants(family.name) == family.constants
        assert family.unseen_shapes is not None


def test_a_gpu_without_constants_and_a_device_that_is_none_are_refused(tmp_path):
    with pytest.raises(BadInput, match="no constants ship for mi300x"):
        shipped("mi300x")
    with pytest.raises(BadInput, match="no GPU"):
        Machine.of(device("u55c"), "bf16")
    with pytest.raises(BadInput, match="moe_torch_flow_cutlass"):
        shipped("h100-sxm").constants("trtllm/moe_torch_flow_cutlas/bf16")
    broken = tmp_path / "broken.toml"
    broken.write_text('gpu = "x"\ndata = ""\ncommand = ""\n[[family]]\nname = "a"\n')
    with pytest.raises(BadInput, match=r"broken\.toml"):
        load_fitted(broken)
