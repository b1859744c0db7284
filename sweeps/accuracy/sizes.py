"""What the plain reference is given of measured calls: sizes, work and the roofline, no tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...simulator.gpu import ExpertCall
from ...simulator.gpu.attention_call import AttentionCall
from ...simulator.gpu.correction import FAMILY, FEATURES, Features
from ...simulator.gpu.gemm_call import Gemm
from .rows import Rows

Floats = NDArray[np.float64]

TILED = ("padding", "waves", "last wave")
"""How the names of features begin that count tiles."""


def reference_features(rows: Rows) -> Features:
    """What a correction sees of a family's rows (`FEATURES`) but the tiles and the model's terms;
    and their FLOPs, bytes and roofline seconds, as logarithms."""
    flops, moved_bytes = WORK[rows.kernel](rows.asked)
    machine = rows.machine
    bound_s = np.maximum(
        flops / machine.peak_flops_per_s, moved_bytes / machine.bandwidth_bytes_per_s
    )
    work = {"flops": np.log(flops), "bytes": np.log(moved_bytes), "roofline": np.log(bound_s)}
    sizes = FEATURES[rows.kernel](rows.asked, machine)
    plain = {name: value for name, value in sizes.items() if not name.startswith(TILED)}
    return {**plain, **work, FAMILY + rows.family: np.ones(1)}


def _expert_work(call: ExpertCall) -> tuple[Floats, Floats]:
    width = call.hidden * call.inter * (call.matrices_in + 1)
    return 2 * call.assigned.rows * width, call.assigned.touched * width * call.weight_size


def _gemm_work(call: Gemm) -> tuple[Floats, Floats]:
    rows_bytes = call.m * call.k * call.activation_size + call.m * call.n * call.out_size
    return 2 * call.m * call.n * call.k, call.n * call.k * call.weight_size + rows_bytes


def _attention_work(call: AttentionCall) -> tuple[Floats, Floats]:
    """Under a causal mask a new token sees half of the new ones."""
    new = np.asarray(call.query_tokens, np.float64)
    keys = call.cached_tokens + new * (1 - 0.5 * np.asarray(call.causal))
    width = np.asarray(call.head_dim, np.float64) + call.v_head_dim
    flops = 2 * call.batch * call.heads * new * keys * width
    latent = np.asarray(call.latent_dim, np.float64) + call.rope_dim
    held = np.where(latent > 0, latent, call.kv_heads * width)
    moved = call.batch * (call.cached_tokens + new) * held * call.kv_size
    return flops, moved + call.batch * new * call.heads * width * call.query_size


WORK: dict[str, Callable[[Any], tuple[Floats, Floats]]] = {
    "attention": _attention_work,
    "experts": _expert_work,
    "gemm": _gemm_work,
}
"""Kernel -> FLOPs and bytes of its calls: `[calls]` each."""
