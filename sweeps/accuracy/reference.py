"""The plain reference: boosted trees from what is asked to seconds, no model of kernels between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...measured import Measurements
from ...simulator.gpu import ExpertCall
from ...simulator.gpu.attention import AttentionCall
from ...simulator.gpu.correction import FAMILY, FEATURES, Features, columns
from ...simulator.gpu.gemm import Gemm
from .boosted import MOST_ROWS, grow
from .families import FOLDS
from .folds import across_folds
from .prediction import Prediction
from .rows import Rows

Floats = NDArray[np.float64]

TILED = ("padding", "waves", "last wave")
"""How the names of features begin that count tiles."""


def boosted(table: Measurements, families: list[Rows], seed: int) -> Prediction:
    """Seconds of every row by trees that were grown without its shape.

    They see what the learned correction sees of a call (the busiest rank's load, operands beside
    the cache, the family), save tiles and what the tile model computed; in their place the two
    sides of the roofline. (Tile counts make such trees worse on most GPUs, the tables' own columns
    no better.)
    """
    measured = table["latency_s"].astype(float)
    features, names = _inputs(table, families)
    fold = np.zeros(len(table), np.int64)
    for rows in families:
        fold[rows.where] = rows.fold
    seconds, learnt = np.zeros(len(table)), []
    for number in range(FOLDS):
        left_out = fold == number
        kept = np.flatnonzero(~left_out)
        if not left_out.any() or not kept.size:
            continue
        order = np.random.default_rng(seed).permutation(kept.size)[:MOST_ROWS]
        kept = np.sort(kept[order])
        trees = grow(features[kept], np.log(measured[kept]), names, seed=seed)
        seconds[left_out] = np.exp(trees(features[left_out]))
        learnt.append(left_out)
    if not learnt:
        seconds[:] = np.exp(np.median(np.log(measured)))
    return across_folds(seconds, measured, learnt)


def _inputs(table: Measurements, families: list[Rows]) -> tuple[Floats, list[str]]:
    """`[rows, features]` and the features' names."""
    seen = [{**_sizes(rows), **_roofline(rows)} for rows in families]
    names = [*seen[0], *(FAMILY + rows.family for rows in families)]
    inputs = np.zeros((len(table), len(names)))
    for rows, one in zip(families, seen, strict=True):
        inputs[rows.where] = columns({**one, FAMILY + rows.family: np.ones(1)}, names)
    return inputs, names


def _sizes(rows: Rows) -> Features:
    found = FEATURES[rows.kernel](rows.asked, rows.machine)
    return {name: one for name, one in found.items() if not name.startswith(TILED)}


def _roofline(rows: Rows) -> dict[str, Floats]:
    """Seconds of the arithmetic, of the bytes, and of the slower of the two, as logarithms."""
    flops, moved = WORK[rows.kernel](rows.asked)
    compute = np.log(flops / rows.machine.peak_flops_per_s)
    memory = np.log(moved / rows.machine.bandwidth_bytes_per_s)
    return {"compute": compute, "memory": memory, "roofline": np.maximum(compute, memory)}


def _of_experts(call: ExpertCall) -> tuple[Floats, Floats]:
    width = call.hidden * call.inter * (call.matrices_in + 1)
    return 2 * call.assigned.rows * width, call.assigned.touched * width * call.weight_size


def _of_gemm(call: Gemm) -> tuple[Floats, Floats]:
    rows, weights = call.m * call.k * call.activation_size, call.n * call.k * call.weight_size
    return 2 * call.m * call.n * call.k, rows + weights + call.m * call.n * call.out_size


def _of_attention(call: AttentionCall) -> tuple[Floats, Floats]:
    queries, keys = np.asarray(call.query_tokens), call.query_tokens + call.cached_tokens
    pairs = call.batch * call.heads * queries * (keys - call.causal * (queries - 1) / 2)
    latent = np.asarray(call.latent_dim + call.rope_dim)
    width = np.where(latent > 0, latent, call.kv_heads * (call.head_dim + call.v_head_dim))
    return 2 * pairs * (call.head_dim + call.v_head_dim), call.batch * keys * width * call.kv_size


WORK: dict[str, Callable[[Any], tuple[Floats, Floats]]] = {
    "experts": _of_experts,
    "gemm": _of_gemm,
    "attention": _of_attention,
}
"""Kernel -> flops and bytes of its calls, as a roofline counts them."""
