"""Attention tables as kernel families: every row in one of them, asked as it was timed."""

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.measured import load
from moesaic.simulator.gpu.attention import starts
from moesaic.sweeps.accuracy.rows_attention import SHAPE, attention_families

TABLE = load("attention", "l40s")
FAMILIES = {rows.family: rows for rows in attention_families(TABLE, device("l40s"))}


def test_every_row_is_in_one_family_and_every_family_has_starts():
    where = np.concatenate([rows.where for rows in FAMILIES.values()])
    assert sorted(where.tolist()) == list(range(len(TABLE)))
    for name in FAMILIES:
        assert starts(name)


def test_a_family_is_one_kernel():
    for rows in FAMILIES.values():
        mine = TABLE.take(rows.where)
        for column in ("backend", "kernel_source", "dtype", "kv_dtype", "phase", "variant"):
            assert len(set(mine[column])) == 1


def test_a_shape_has_one_number_whatever_its_batch_and_lengths():
    shapes: dict[tuple[int, ...], int] = {}
    for rows in FAMILIES.values():
        mine = TABLE.take(rows.where)
        for number, *key in zip(rows.shape, *(mine[name] for name in SHAPE), strict=True):
            assert shapes.setdefault(tuple(key), number) == number
    assert len(set(shapes.values())) == len(shapes)


def test_decode_without_tensor_cores_is_a_family_of_its_own():
    plain = FAMILIES["trtllm/torch_flow/bf16/kv-bf16/heads-decode"].asked
    tiled = FAMILIES["trtllm/torch_flow/bf16/kv-bf16/gqa-decode"].asked
    groups = plain.heads / plain.kv_heads
    assert ((groups == 1) | (groups > 32)).all()
    assert (tiled.heads / tiled.kv_heads).min() == 2
    assert (tiled.heads / tiled.kv_heads).max() == 32


def test_latent_attention_is_asked_with_the_widths_of_deepseek():
    asked = FAMILIES["trtllm/default/bf16/kv-fp8/mla-decode"].asked
    widths = (asked.head_dim, asked.v_head_dim, asked.latent_dim, asked.rope_dim)
    assert [set(width) for width in widths] == [{192.0}, {128.0}, {512.0}, {64.0}]
    assert (set(asked.kv_size), set(asked.query_size)) == ({1.0}, {2.0})


def test_products_run_at_the_peak_of_the_narrower_format():
    l40s = device("l40s")
    for name, dtype in (
        ("vllm/vllm_flash_attn_fa2/bf16/kv-bf16/gqa-decode", "bf16"),
        ("trtllm/torch_flow/bf16/kv-fp8/gqa-decode", "fp8"),
        ("trtllm/torch_flow/fp8/kv-fp8/gqa-prefill", "fp8"),
    ):
        assert FAMILIES[name].machine.peak_flops_per_s == l40s.peak(dtype)


@pytest.mark.parametrize(
    ("variant", "column", "value", "said"),
    [
        ("gqa", "num_kv_heads", 7, "multiple of num_kv_heads"),
        ("mla", "head_dim", 576, "mla of head_dim 192"),
    ],
)
def test_rows_that_cannot_be_asked_are_refused_with_their_place(variant, column, value, said):
    few = TABLE.where(variant=variant, num_heads=8).take(np.arange(3))
    values = few[column].copy()
    values[1] = value
    wrong = msgspec.structs.replace(few, columns={**few.columns, column: values})
    with pytest.raises(BadInput, match=said) as fault:
        list(attention_families(wrong, device("l40s")))
    assert "row 2" in str(fault.value)
