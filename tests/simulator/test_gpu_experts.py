"""A fused MoE layer by its tiles: bounded by the roofline, moved only in the right direction."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import (
    ExpertCall,
    ExpertConstants,
    Machine,
    even_load,
    every_slot,
    expert_terms,
    limits,
    load_fitted,
    shipped,
)
from moesaic.simulator.gpu.experts import TERMS

PRIOR = ExpertConstants()
H100 = Machine.of(device("h100-sxm"), "bf16")
SIZES = st.sampled_from([64, 128, 256, 768, 1024, 2048, 4096])


def layers_of(tokens, top_k, experts, hidden, inter):
    assigned = even_load(tokens * top_k, experts)
    return ExpertCall(
        tokens=tokens,
        group_rows=tokens * top_k,
        local_experts=experts,
        hidden=hidden,
        inter=inter,
        matrices_in=np.full(tokens.size, 2.0),
        weight_size=2.0,
        activation_size=2.0,
        assigned=assigned,
        reached=every_slot(tokens, assigned, top_k),
    )


def layer_of(*shape):
    return layers_of(*(np.array([number], float) for number in shape))


def seconds(layer, machine=H100, constants=PRIOR):
    return float(sum(term[0] for term in expert_terms(layer, machine, constants).values()))


def drawn_constants(draw):
    values = {
        name: draw(st.floats(least, most))
        for name, (least, most) in limits(ExpertConstants).items()
    }
    tiling = draw(st.sampled_from(["autotuned", "triton-default"]))
    return ExpertConstants(tiling=tiling, **{**values, "resident_share": 0.01})


layers = st.tuples(
    st.integers(1, 4096), st.integers(1, 8), st.sampled_from([8, 32, 128]), SIZES, SIZES
)


@settings(max_examples=150)
@given(st.data(), layers)
def test_no_constants_beat_the_roofline(data, shape):
    constants = drawn_constants(data.draw)
    layer = layer_of(*shape)
    tokens, top_k, _, hidden, inter = shape
    flops = 2 * tokens * top_k * hidden * inter * 3
    # A hundredth of the cache may keep weights from one repeat to the next.
    weights = layer.assigned.touched[0] * hidden * inter * 3 * 2 - 0.01 * H100.cache_bytes
    bound = max(flops / H100.peak_flops_per_s, weights / H100.bandwidth_bytes_per_s)
    assert seconds(layer, constants=constants) >= bound * (1 - 1e-9)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("bandwidth_bytes_per_s", 1.5), ("peak_flops_per_s", 1.5), ("cache_bytes", 2.0)],
)
@given(shape=layers)
@settings(max_examples=50)
def test_a_better_machine_is_never_slower(name, factor, shape):
    layer = layer_of(*shape)
    better = msgspec.structs.replace(H100, **{name: getattr(H100, name) * factor})
    assert seconds(layer, better) <= seconds(layer) * (1 + 1e-12)


def test_terms_are_those_promised_and_positive():
    layer = layer_of(64, 2, 8, 4096, 14336)
    terms = expert_terms(layer, H100, PRIOR)
    assert tuple(terms) == TERMS
    assert all(term[0] > 0 for term in terms.values())


def test_reading_weights_rules_a_small_batch_and_flops_a_large_one():
    layer = layer_of(8, 2, 8, 4096, 14336)
    small = expert_terms(layer, H100, PRIOR)
    weights = 8 * 3 * 4096 * 14336 * 2 / H100.bandwidth_bytes_per_s
    assert small["gate_up"][0] + small["down"][0] == pytest.approx(weights / 0.9, rel=0.15)
    few, many = (seconds(layer_of(tokens, 2, 8, 4096, 14336)) for tokens in (8192, 16384))
    assert many / few == pytest.approx(2, rel=0.05)


def test_a_layer_of_many_is_priced_like_each_alone():
    shapes = [(1, 2, 8, 256, 512), (100, 8, 64, 1024, 2048), (4096, 4, 32, 2048, 128)]
    alone = [seconds(layer_of(*shape)) for shape in shapes]
    columns = (np.array(column, float) for column in zip(*shapes, strict=True))
    terms = expert_terms(layers_of(*columns), H100, PRIOR)
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
    with pytest.raises(BadInput, match="no moe constants ship for mi300x"):
        shipped("mi300x")
    with pytest.raises(BadInput, match="no GPU"):
        Machine.of(device("u55c"), "bf16")
    with pytest.raises(BadInput, match="moe_torch_flow_cutlass"):
        shipped("h100-sxm").constants("trtllm/moe_torch_flow_cutlas/bf16")
    broken = tmp_path / "broken.toml"
    broken.write_text('gpu = "x"\ndata = ""\ncommand = ""\n[[family]]\nname = "a"\n')
    with pytest.raises(BadInput, match=r"broken\.toml"):
        load_fitted(broken)


def test_cycles_last_as_long_as_the_clock_says_and_a_whole_cache_keeps_its_size():
    h100, l40s = (Machine.of(device(name), "bf16") for name in ("h100-sxm", "l40s"))
    assert l40s.seconds(2.52e9) == pytest.approx(1.0)
    assert h100.seconds(1.0) / l40s.seconds(1.0) == pytest.approx(2520 / 1980)
    assert (h100.kept_share(0.3), l40s.kept_share(0.3)) == (0.3, 1.0)


def test_rows_between_the_products_pass_at_a_quarter_of_the_caches_port():
    constants = ExpertConstants(row_traffic=4.0, group_traffic=1e-3)
    for tokens in (64.0, 1e6):
        moved = 4.0 * 2 * tokens * 4096 * 2
        took = expert_terms(layer_of(tokens, 2, 8, 4096, 2048), H100, constants)["rows"]
        assert took[0] == pytest.approx(moved / (0.25 * H100.cache_port_bytes_per_s), rel=0.01)
