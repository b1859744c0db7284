"""Measured attention rows -> what the tile model is asked, kernel family by kernel family."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import Machine
from ...simulator.gpu.attention import AttentionCall
from ...simulator.gpu.choice import decodes_by_tiles
from .cases import by_name
from .rows import Rows, family_names, shape_numbers

Floats = NDArray[np.float64]

SHAPE = ("head_dim", "num_heads", "num_kv_heads")
"""What makes two rows the same shape, whatever their batch and lengths."""

MLA_HEAD_DIM, MLA_VALUE_DIM, MLA_LATENT_DIM, MLA_ROPE_DIM = 192, 128, 512, 64
"""Widths of latent attention in the recorded tables: DeepSeek-V2's and V3's."""


def attention_families(table: Measurements, device: AnyDevice, seed: int = 0) -> Iterator[Rows]:
    """The families of an attention table in order of their names: 'backend/kernel_source/dtype/
    kv-<format of the cache>/<what the kernel does>', as `simulator.gpu.attention.starts` reads it.
    """
    _refuse_uneven_groups(table)
    _refuse_other_latents(table)
    names, shape = _names(table), shape_numbers(table, SHAPE)
    for family in np.unique(names).tolist():
        where = np.flatnonzero(names == family)
        yield Rows(
            family=family,
            kernel="attention",
            where=where,
            shape=shape[where],
            measured_s=table["latency_s"][where].astype(float),
            asked=_call(table, where),
            machine=Machine.of(device, _products(table, int(where[0]))),
        )


def _refuse_uneven_groups(table: Measurements) -> None:
    uneven = table["num_heads"] % table["num_kv_heads"] != 0
    if uneven.any():
        raise BadInput(
            "must have a num_heads that is a multiple of num_kv_heads",
            key=f"row {int(np.argmax(uneven)) + 1}",
        )


def _refuse_other_latents(table: Measurements) -> None:
    latent = table["variant"].astype(str) == "mla"
    wrong = latent & ((table["head_dim"] != MLA_HEAD_DIM) | (table["num_kv_heads"] != 1))
    if wrong.any():
        raise BadInput(
            f"predicts mla of head_dim {MLA_HEAD_DIM} and num_kv_heads 1 only (a latent of "
            f"{MLA_LATENT_DIM} + {MLA_ROPE_DIM})",
            key=f"row {int(np.argmax(wrong)) + 1}",
        )


def _names(table: Measurements) -> NDArray[np.str_]:
    phase, variant = table["phase"].astype(str), table["variant"].astype(str)
    cache = np.char.add("/kv-", table["kv_dtype"].astype(str))
    names = np.char.add(np.char.add(family_names(table), cache), "/")
    group = table["num_heads"] / table["num_kv_heads"]
    untiled = np.zeros(len(table), bool)
    for i in np.flatnonzero((phase == "decode") & (variant == "gqa")):
        untiled[i] = not decodes_by_tiles(names[i], group[i])
    kind = np.char.add(np.char.add(np.where(untiled, "heads", variant), "-"), phase)
    return np.asarray(np.char.add(names, kind))


def _products(table: Measurements, row: int) -> str:
    """The narrower format of queries and cache: kernels narrow the queries where it is faster, and
    the fitted share of the peak says where they do not."""
    formats = str(table["dtype"][row]), str(table["kv_dtype"][row])
    return min(formats, key=lambda name: number_format(name).bits)


def _call(table: Measurements, where: NDArray[np.int64]) -> AttentionCall:
    def column(name: str) -> Floats:
        return np.asarray(table[name][where], np.float64)

    def sizes(name: str) -> Floats:
        return by_name(table[name][where], lambda form: number_format(form).bytes_per_element)

    latent = table["variant"][where].astype(str) == "mla"
    query_size = sizes("dtype")
    return AttentionCall(
        batch=column("batch_size"),
        query_tokens=column("query_tokens"),
        cached_tokens=column("cached_tokens"),
        heads=column("num_heads"),
        kv_heads=column("num_kv_heads"),
        head_dim=column("head_dim"),
        v_head_dim=np.where(latent, float(MLA_VALUE_DIM), column("head_dim")),
        latent_dim=np.where(latent, float(MLA_LATENT_DIM), 0.0),
        rope_dim=np.where(latent, float(MLA_ROPE_DIM), 0.0),
        query_size=query_size,
        kv_size=sizes("kv_dtype"),
        output_size=np.maximum(query_size, 2.0),
    )
