"""A dense GEMM by its tiles: bounded by the roofline, moved only in the right direction."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import Machine, limits
from moesaic.simulator.gpu.gemm import BY_ROWS, TERMS, Gemm, GemmConstants, gemm_terms, starts

H100 = Machine.of(device("h100-sxm"), "bf16")
PRIOR = GemmConstants()
IDEAL = GemmConstants(
    launch_s=5e-7,
    tensor_share=1.0,
    step_s=1e-9,
    wave_s=1e-8,
    wave_softness=1.0,
    dram_share=1.0,
    operand_share=4.0,
    stream_share=1.0,
    weight_copies=64.0,
    output_share=0.01,
)
SIZES = st.sampled_from([1, 16, 33, 64, 128, 200, 768, 1024, 4096, 12288])
SHAPES = st.tuples(SIZES, SIZES, SIZES)


def gemm_of(m, n, k, *, quantised=False):
    m, n, k = (np.atleast_1d(np.asarray(x, float)) for x in (m, n, k))
    size = 1.0 if quantised else 2.0
    return Gemm(m=m, n=n, k=k, weight_size=size, activation_size=size, quantised=quantised)


def seconds(gemm, constants=PRIOR, machine=H100):
    return np.asarray(sum(gemm_terms(gemm, machine, constants).values()))


def drawn_constants(draw):
    ranges = limits(GemmConstants)
    values = {name: draw(st.floats(*ends)) for name, ends in ranges.items()}
    return GemmConstants(tiling=draw(st.sampled_from(["fastest", *BY_ROWS])), **values)


def test_a_huge_product_with_ideal_constants_runs_at_the_peak():
    size = 16384.0
    wanted = 2 * size**3 / H100.peak_flops_per_s
    assert seconds(gemm_of(size, size, size), IDEAL)[0] == pytest.approx(wanted, rel=0.02)


def test_one_row_with_ideal_constants_takes_as_long_as_its_weights():
    n, k = 16384.0, 16384.0
    wanted = 2 * n * k / H100.bandwidth_bytes_per_s
    assert seconds(gemm_of(1, n, k), IDEAL)[0] == pytest.approx(wanted, rel=0.02)


def test_one_tile_more_than_a_wave_costs_a_wave():
    whole = msgspec.structs.replace(IDEAL, tiling="by-rows", wave_softness=0.01)
    endless = msgspec.structs.replace(H100, bandwidth_bytes_per_s=1e15)
    k = 65536.0
    filled, one_more = seconds(gemm_of(256, [66 * 128, 66 * 128 + 1], k), whole, endless)
    assert filled == pytest.approx(2 * 256 * 66 * 128 * k / H100.peak_flops_per_s, rel=0.05)
    assert one_more / filled == pytest.approx(2, rel=0.05)


def test_kernels_that_dispatch_on_rows_jump_where_their_rule_does():
    endless = msgspec.structs.replace(H100, bandwidth_bytes_per_s=1e15)
    for tiling, jump in (("by-rows", 128), ("by-rows-late", 256)):
        ruled = msgspec.structs.replace(IDEAL, tiling=tiling, split_s=1e-4)
        until, after = seconds(gemm_of([jump, jump + 1], 1024, 8192), ruled, endless)
        assert after > 1.5 * until


def test_a_long_sum_of_few_tiles_is_split_only_where_splitting_is_cheap():
    few = gemm_of(16, 64, 65536)
    cheap, dear = (
        gemm_terms(few, H100, msgspec.structs.replace(PRIOR, split_s=split_s))
        for split_s in (1e-6, 1e-4)
    )
    assert cheap["ends"][0] > 1e-6
    assert dear["ends"][0] == PRIOR.wave_s
    assert dear["product"][0] > 5 * cheap["product"][0]


def test_weights_that_the_cache_keeps_from_one_repeat_to_the_next_come_faster():
    fits = gemm_of(1, 4096, 1024)
    again, rotated = (
        gemm_terms(fits, H100, msgspec.structs.replace(PRIOR, weight_copies=copies))["product"][0]
        for copies in (1.0, 64.0)
    )
    assert again < 0.8 * rotated
    outgrown = gemm_of(1, 16384, 16384)
    again, rotated = (
        seconds(outgrown, msgspec.structs.replace(PRIOR, weight_copies=copies))[0]
        for copies in (1.0, 64.0)
    )
    assert again == pytest.approx(rotated, rel=1e-3)


def test_quantising_rows_costs_their_bytes_or_their_blocks():
    slow_rows = msgspec.structs.replace(PRIOR, quantise_row_s=1e-8)
    assert (
        gemm_terms(gemm_of(4096, 64, 64, quantised=True), H100, slow_rows)["quantise"][0] == 4096e-8
    )
    wide = gemm_terms(gemm_of(32768, 64, 65536, quantised=True), H100, PRIOR)["quantise"][0]
    moved = 32768 * 65536 * PRIOR.quantise_bytes
    assert wide == pytest.approx(moved / (H100.bandwidth_bytes_per_s * PRIOR.dram_share))
    assert gemm_terms(gemm_of(32768, 64, 65536), H100, PRIOR)["quantise"][0] == 0


def test_a_slow_host_hides_the_device():
    slow = msgspec.structs.replace(PRIOR, host_s=1e-3)
    np.testing.assert_allclose(seconds(gemm_of([1, 512], 512, 512), slow), 1e-3)
    large = gemm_of(16384, 16384, 16384)
    assert seconds(large, slow)[0] == seconds(large)[0]


@settings(max_examples=75)
@given(st.data(), SHAPES)
def test_no_constants_beat_the_roofline(data, shape):
    constants = drawn_constants(data.draw)
    m, n, k = shape
    took = seconds(gemm_of(m, n, k), constants)[0]
    assert took >= 2 * m * n * k / H100.peak_flops_per_s * (1 - 1e-9)
    if 2 * n * k > 3 * H100.cache_bytes:  # twice the cache held at most, so nearly all of it misses
        assert took >= 0.99 * 2 * n * k / H100.bandwidth_bytes_per_s


@pytest.mark.parametrize(
    "name",
    ["bandwidth_bytes_per_s", "peak_flops_per_s", "cache_bytes", "cache_port_bytes_per_s"],
)
@settings(max_examples=30)
@given(data=st.data(), shape=SHAPES, factor=st.floats(1, 8))
def test_a_better_machine_is_never_slower(name, data, shape, factor):
    constants = drawn_constants(data.draw)
    m, n, k = shape
    gemm = gemm_of(m, n, k, quantised=data.draw(st.booleans()))
    better = msgspec.structs.replace(H100, **{name: getattr(H100, name) * factor})
    assert seconds(gemm, constants, better)[0] <= seconds(gemm, constants)[0] * (1 + 1e-9)


@settings(max_examples=50)
@given(data=st.data(), n=SIZES, k=st.integers(1, 256), m=SIZES, more=SIZES)
def test_more_rows_are_never_faster_where_no_sum_is_split(data, n, k, m, more):
    constants = msgspec.structs.replace(drawn_constants(data.draw), tiling="fastest")
    fewer_s, more_s = seconds(gemm_of([m, m + more], n, k), constants)
    assert more_s >= fewer_s * (1 - 1e-9)


@settings(max_examples=50)
@given(data=st.data(), shape=SHAPES, more=SIZES)
def test_longer_sums_are_never_faster(data, shape, more):
    constants = drawn_constants(data.draw)
    m, n, k = shape
    short_s, long_s = seconds(gemm_of(m, n, [k, k + more]), constants)
    assert long_s >= short_s * (1 - 1e-9)


@settings(max_examples=25)
@given(st.data(), st.lists(SHAPES, min_size=1, max_size=8))
def test_many_calls_are_priced_like_each_alone(data, shapes):
    constants = drawn_constants(data.draw)
    quantised = data.draw(st.booleans())
    m, n, k = zip(*shapes, strict=True)
    together = gemm_terms(gemm_of(m, n, k, quantised=quantised), H100, constants)
    assert tuple(together) == TERMS
    alone = [
        gemm_terms(gemm_of(m, n, k, quantised=quantised), H100, constants) for m, n, k in shapes
    ]
    for name in TERMS:
        assert together[name].shape == (len(shapes),)
        np.testing.assert_allclose(together[name], [one[name][0] for one in alone], rtol=1e-12)


def test_calls_on_several_machines_are_priced_like_each_alone():
    machines = [H100, Machine.of(device("l40s"), "bf16")]
    both = Machine(
        **{
            name: np.array([getattr(one, name) for one in machines])
            for name in H100.__struct_fields__
        }
    )
    together = seconds(gemm_of([64, 64], 4096, 4096), machine=both)
    np.testing.assert_allclose(
        together, [seconds(gemm_of(64, 4096, 4096), machine=one)[0] for one in machines]
    )


def test_starts_begin_with_the_prior_and_hold_each_choice_once():
    assert starts("trtllm/torch_flow/bf16") == (PRIOR,)
    found = starts("vllm/CutlassFp8BlockScaledMMKernel/fp8_block")
    assert found[0] == PRIOR
    assert len(set(found)) == len(found) == 8
    assert {one.tiling for one in found} == {"fastest", *BY_ROWS}


def test_products_of_nothing_and_sizes_of_nothing_are_refused():
    with pytest.raises(BadInput, match="at least 1"):
        gemm_of(0, 16, 16)
    with pytest.raises(BadInput, match="positive"):
        Gemm(m=np.ones(1), n=np.ones(1), k=np.ones(1), weight_size=0.0, activation_size=2.0)
    with pytest.raises(ValueError, match="wave_softness"):
        GemmConstants(wave_softness=2.0)
