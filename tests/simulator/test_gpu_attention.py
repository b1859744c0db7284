"""Attention by its tiles: the peaks in the limit, moved only in the right direction."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import Machine, limits
from moesaic.simulator.gpu.attention import (
    TERMS,
    AttentionCall,
    AttentionConstants,
    attention_terms,
    starts,
)

H100 = Machine.of(device("h100-sxm"), "bf16")
KINDS = ("gqa-prefill", "mla-prefill", "gqa-decode", "mla-decode", "heads-decode")
CHOICES = [start for kind in KINDS for start in starts(f"any/kernel/bf16/kv-bf16/{kind}")]
IDEAL = AttentionConstants(
    tile_rows=128,
    most_splits=256,
    launch_cycles=2e3,
    row_traffic=0.05,
    kv_traffic=0.05,
    tensor_share=1.0,
    pair_cycles=2e-4,
    block_cycles=20.0,
    wave_softness=1.0,
    unit_share=1.0,
    dram_share=1.0,
    cache_share=1.0,
    resident_share=0.01,
    combine_cycles=20.0,
    overlap=8.0,
)
"""Nothing but products at the peak and keys at the memory's bandwidth."""
H100_SHARE = H100.bandwidth_bytes_per_s / H100.cache_port_bytes_per_s
"""Of the cache's port, that is no faster than the memory."""


def call_of(
    batch: Any = 1,
    new: Any = 1,
    cached: Any = 0,
    heads: Any = 32,
    kv_heads: Any = 8,
    dim: Any = 128,
    **more: Any,
) -> AttentionCall:
    numbers = {
        "batch": batch,
        "query_tokens": new,
        "cached_tokens": cached,
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": dim,
        "v_head_dim": dim,
    }
    return AttentionCall(
        **{name: np.atleast_1d(np.asarray(value, float)) for name, value in numbers.items()}, **more
    )


def latent_of(batch, new, cached, heads):
    call = call_of(batch, new, cached, heads, kv_heads=1, latent_dim=512.0, rope_dim=64.0)
    return msgspec.structs.replace(call, head_dim=192.0, v_head_dim=128.0)


def seconds(call, constants=CHOICES[0], machine=H100):
    return np.asarray(sum(attention_terms(call, machine, constants).values()))


def changed(constants, **more):
    return msgspec.structs.replace(constants, **more)


@pytest.mark.parametrize("dim", [64, 128])
def test_a_long_prefill_with_ideal_constants_runs_at_the_peak(dim):
    new, heads = 65536, 64
    flops = 4.0 * heads * dim * new * (new + 1) / 2
    took = seconds(call_of(new=new, heads=heads, dim=dim), IDEAL)
    assert took[0] == pytest.approx(flops / H100.peak_flops_per_s, rel=0.02)


def test_half_the_tensor_rate_doubles_a_long_prefill():
    call = call_of(new=65536)
    assert seconds(call, changed(IDEAL, tensor_share=0.5))[0] == pytest.approx(
        2 * seconds(call, IDEAL)[0], rel=0.01
    )


def test_the_softmax_of_a_pair_bounds_a_prefill_of_narrow_heads():
    """pair_cycles for each of a head's pairs on one SM, whatever the width of the head."""
    new, heads, cycles = 32768, 32, 2.0
    constants = changed(IDEAL, pair_cycles=cycles)
    wanted = heads * new * new / 2 * cycles / H100.clock_hz / H100.units
    for dim in (16, 32):
        call = call_of(new=new, heads=heads, kv_heads=heads, dim=dim)
        assert seconds(call, constants)[0] == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("kv_size", [1.0, 2.0])
def test_decode_over_many_keys_reads_them_at_the_memorys_bandwidth(kv_size):
    batch, cached, kv_heads, dim = 256, 32767, 8, 128
    kv_bytes = batch * (cached + 1) * kv_heads * 2 * dim * kv_size
    call = call_of(batch, 1, cached, kv_size=kv_size)
    took = seconds(call, changed(IDEAL, tile_rows=16))
    assert took[0] == pytest.approx(kv_bytes / H100.bandwidth_bytes_per_s, rel=0.02)


def test_a_latent_is_read_once_for_keys_and_values():
    batch, cached = 128, 32767
    took = seconds(latent_of(batch, 1, cached, 16), IDEAL)
    wanted = batch * (cached + 1) * 576 * 2 / H100.bandwidth_bytes_per_s
    assert took[0] == pytest.approx(wanted, rel=0.03)


def test_absorbed_prefill_does_the_work_of_the_wide_latent():
    """Products of 576 + 512 for a pair and head instead of 192 + 128."""
    call = latent_of(1, 32768, 0, 128)
    expanded = seconds(call, changed(IDEAL, latent="expanded", packing="heads"))
    absorbed = seconds(call, changed(IDEAL, latent="absorbed"))
    assert absorbed[0] / expanded[0] == pytest.approx((576 + 512) / (192 + 128), rel=0.03)


def test_a_causal_mask_halves_a_long_prefill():
    new = np.array([16384.0, 65536.0])
    causal, full = (seconds(call_of(new=new, causal=mask), IDEAL) for mask in (1.0, 0.0))
    assert causal == pytest.approx(full / 2, rel=0.03)


def test_a_chunk_after_a_long_cache_sees_all_of_it():
    """2,048 new tokens after 63k cost what they add to a prefill of 64k at once."""
    chunk = seconds(call_of(new=2048, cached=65536 - 2048), IDEAL)
    whole, before = (seconds(call_of(new=new), IDEAL)[0] for new in (65536, 65536 - 2048))
    assert chunk[0] == pytest.approx(whole - before, rel=0.05)


def test_packing_heads_reads_shared_keys_once():
    """Eight heads of a group as one tile: the cache gives each key out once, not 8 times."""
    call = call_of(batch=512, cached=8191, heads=64, kv_heads=8)
    slow = changed(IDEAL, cache_share=H100_SHARE)
    packed, single = (seconds(call, changed(slow, packing=how)) for how in ("groups", "heads"))
    assert single[0] / packed[0] == pytest.approx(8, rel=0.15)


def test_lone_tokens_are_packed_as_groups_are_and_others_are_not():
    lone, groups, heads = (changed(CHOICES[0], packing=how) for how in ("lone", "groups", "heads"))
    decode, prefill = call_of(64, 1, 4095), call_of(64, 16, 0)
    assert seconds(decode, lone) == seconds(decode, groups)
    assert seconds(prefill, lone) == seconds(prefill, heads)


def test_splits_fill_the_sms_where_one_request_has_few_heads():
    """One head of keys on one SM draws its part of the cache's port; split, all SMs draw."""
    call = call_of(1, 1, 131071, heads=8, kv_heads=1)
    whole, split = (
        attention_terms(call, H100, changed(IDEAL, tile_rows=16, unit_share=0.4, most_splits=most))
        for most in (1, 256)
    )
    kv_bytes = 131072 * 2 * 128 * 2
    alone = kv_bytes / (0.4 * H100.cache_port_bytes_per_s / H100.units)
    assert whole["attention"][0] == pytest.approx(alone, rel=0.02)
    assert split["attention"][0] < alone / 4
    assert whole["combine"][0] == 0 < split["combine"][0]


def test_one_block_more_than_a_wave_costs_a_wave():
    units = int(H100.units)
    constants = changed(IDEAL, packing="heads", wave_softness=1e-6, blocks_per_unit=1.0)
    one, more = (
        attention_terms(call_of(1, 128, 0, heads=heads, kv_heads=1), H100, constants)["blocks"]
        for heads in (units, units + 1)
    )
    assert more[0] == pytest.approx(2 * one[0], rel=1e-5)


def test_what_fits_the_cache_is_read_faster_than_the_memory_allows():
    call = call_of(64, 1, 255)
    kept, lost = (seconds(call, changed(IDEAL, resident_share=share)) for share in (1.0, 0.01))
    kv_bytes = 64 * 256 * 8 * 2 * 128 * 2
    assert kept[0] < lost[0]
    assert kept[0] - IDEAL.launch_cycles / H100.clock_hz < kv_bytes / H100.bandwidth_bytes_per_s


BATCHES = st.sampled_from([1, 2, 7, 64, 300])
NEW = st.sampled_from([1, 2, 16, 100, 1024, 5000])
CACHED = st.sampled_from([0, 1, 63, 64, 65, 1000, 8191, 100_000])
HEADS = st.sampled_from([(1, 1), (8, 1), (32, 8), (40, 8), (64, 64), (96, 2)])
CALLS = st.tuples(BATCHES, NEW, CACHED, HEADS)


@st.composite
def any_constants(draw):
    """A set of choices that some family has, with numbers from anywhere in their ranges."""
    numbers = {name: draw(st.floats(*ends)) for name, ends in limits(AttentionConstants).items()}
    return changed(draw(st.sampled_from(CHOICES)), **numbers)


@given(constants=any_constants(), calls=st.lists(CALLS, min_size=2, max_size=6))
@settings(max_examples=60, deadline=None)
def test_many_calls_at_once_take_what_each_takes_alone(constants, calls):
    batch, new, cached, heads = zip(*calls, strict=True)
    query, shared = np.array(heads, float).T
    together = attention_terms(call_of(batch, new, cached, query, shared), H100, constants)
    assert tuple(together) == TERMS
    for i, (b, n, c, (h, kv)) in enumerate(calls):
        alone = attention_terms(call_of(b, n, c, h, kv), H100, constants)
        for term in TERMS:
            assert np.isfinite(together[term][i])
            assert together[term][i] >= 0
            assert together[term][i] == pytest.approx(alone[term][0], rel=1e-12)


@given(constants=any_constants(), batch=BATCHES, heads=HEADS, latent=st.booleans())
@settings(max_examples=100, deadline=None)
def test_more_cached_keys_are_never_faster(constants, batch, heads, latent):
    cached = np.unique(np.geomspace(1, 200_000, 60).astype(int)) - 1.0
    call = latent_of(batch, 1, cached, heads[0]) if latent else call_of(batch, 1, cached, *heads)
    assert (np.diff(seconds(call, constants)) >= -1e-12).all()


@given(constants=any_constants(), calls=CALLS)
@settings(max_examples=60, deadline=None)
def test_narrower_cache_elements_are_never_slower(constants, calls):
    batch, new, cached, heads = calls
    narrow, wide = (
        seconds(call_of(batch, new, cached, *heads, kv_size=size), constants) for size in (1.0, 2.0)
    )
    assert narrow[0] <= wide[0] * (1 + 1e-12)


def test_calls_of_several_gpus_are_priced_together():
    l40s = Machine.of(device("l40s"), "bf16")
    call = call_of(batch=[64, 64], new=[1, 1], cached=[4095, 4095])
    both = Machine(
        **{
            name: np.array([getattr(machine, name) for machine in (H100, l40s)], float)
            for name in Machine.__struct_fields__
        }
    )
    apart = [seconds(call.__class__(**first(call)), machine=machine)[0] for machine in (H100, l40s)]
    assert seconds(call, machine=both) == pytest.approx(apart)


def first(call):
    """The fields of a call, of its first row where they are arrays."""
    fields = {name: getattr(call, name) for name in call.__struct_fields__}
    return {
        name: value[:1] if isinstance(value, np.ndarray) else value
        for name, value in fields.items()
    }


def test_every_family_starts_within_the_ranges_of_its_constants():
    for constants in CHOICES:
        for name, (least, most) in limits(AttentionConstants).items():
            assert least <= getattr(constants, name) <= most
    assert len(limits(AttentionConstants)) <= 16


def test_a_family_that_names_no_kind_of_attention_is_refused():
    with pytest.raises(BadInput, match="must end in gqa-prefill"):
        starts("vllm/fa3/bf16")
