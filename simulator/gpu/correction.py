"""A learned correction of the tile models: what it sees of a call, and the factor that it gives.

It sees what the models themselves compute: which part of the time is which term, and sizes as
ratios (rows of a touched expert, waves, padding, weights over the cache). Widths of models are left
out: trees would learn the recorded ones by heart, and say nothing of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .attention_call import AttentionCall
from .experts import ExpertCall
from .gemm_call import Gemm
from .machine import Machine
from .tiles import TILE_ROWS
from .trees import Trees

Floats = NDArray[np.float64]
Features = dict[str, Floats]
"""By name; `[calls]` each."""

MOST_FACTOR = 3.0
"""No correction makes a time longer or shorter than that."""
TILE_COLUMNS = 128
"""Width of the tiles whose waves are counted, whatever tile a kernel picks."""
FAMILY = "is "
"""Begins the name of a feature that is 1 for the calls of one kernel family, else 0."""


def factors(trees: Trees, features: Mapping[str, Floats]) -> Floats:
    """What the tile model's times are multiplied by: `[calls]`."""
    logs = trees(columns(features, trees.names))
    return np.asarray(np.exp(np.clip(logs, -np.log(MOST_FACTOR), np.log(MOST_FACTOR))))


def columns(features: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """The named features side by side: `[calls, names]`; categories that are not named are 0."""
    known = [name for name in names if name in features]
    lacking = [name for name in names if name not in features and not name.startswith(FAMILY)]
    if lacking or not known:
        raise BadInput(
            "sees what such calls do not have", key="correction", value=lacking or list(names)
        )
    table = np.zeros((max(np.size(features[name]) for name in known), len(names)))
    for column, name in enumerate(names):
        if name in features:
            table[:, column] = features[name]
    return table


def call_features(
    kernel: str, call: Any, machine: Machine, terms: Mapping[str, Floats], family: str = ""
) -> Features:
    """All that a correction sees of calls of a kernel, by its name in KERNELS."""
    seen = {**term_features(terms), **FEATURES[kernel](call, machine)}
    return {**seen, FAMILY + family: np.ones(1)} if family else seen


def term_features(terms: Mapping[str, Floats]) -> Features:
    """The logarithm of the predicted seconds, and the share of each term in them."""
    total = np.asarray(sum(terms.values()))
    shares = {f"share of {name}": term / total for name, term in terms.items()}
    return {"seconds": np.log(total), **shares}


def expert_features(call: ExpertCall, machine: Machine) -> Features:
    """Of a fused MoE layer: the load of the device's experts, its padding, waves and weights."""
    load = call.assigned
    width = call.hidden * call.inter * (call.matrices_in + 1)
    weight_bytes = load.touched * width * call.weight_size
    found = {
        "rows": np.log(load.rows),
        "touched": np.log(load.touched),
        "touched share": load.touched / call.local_experts,
        "rows of an expert": np.log(load.rows / load.touched),
        "tokens": np.log(call.tokens),
        "local experts": np.log(call.local_experts),
        "top k": np.log(call.group_rows / call.tokens),
        "own share": np.log(load.rows / call.group_rows),
        "gated": call.matrices_in - 1,
        "weights over cache": np.log(weight_bytes / machine.cache_bytes),
        "rows over cache": np.log(
            load.rows * call.hidden * call.activation_size / machine.cache_bytes
        ),
        "intensity": _intensity(2 * load.rows * width, weight_bytes, machine),
    }
    for at, height in enumerate(TILE_ROWS):
        found[f"padding {height}"] = np.log(load.tiles[:, at] * height / load.rows)
    for product, width in (("up", call.matrices_in * call.inter), ("down", call.hidden)):
        for height in (TILE_ROWS[0], TILE_ROWS[-1]):
            tiles = load.tiles[:, TILE_ROWS.index(height)] * np.ceil(width / TILE_COLUMNS)
            found |= _waves(f"{product} {height}", tiles, machine)
    return found


def gemm_features(call: Gemm, machine: Machine) -> Features:
    """Of a dense product: its rows, padding and waves, and its operands beside the cache."""
    m, n, k = (np.asarray(x, np.float64) for x in np.broadcast_arrays(call.m, call.n, call.k))
    weight_bytes, row_bytes = n * k * call.weight_size, m * k * call.activation_size
    out_bytes = m * n * call.out_size
    found = {
        "rows": np.log(m),
        "depth": np.log(k),
        "weights over cache": np.log(weight_bytes / machine.cache_bytes),
        "rows over cache": np.log(row_bytes / machine.cache_bytes),
        "result over cache": np.log(out_bytes / machine.cache_bytes),
        "intensity": _intensity(2 * m * n * k, weight_bytes + row_bytes + out_bytes, machine),
    }
    for height in (16, 64, 128):
        row_tiles = np.ceil(m / height)
        found[f"padding {height}"] = np.log(row_tiles * height / m)
        found |= _waves(f"tiles {height}", row_tiles * np.ceil(n / TILE_COLUMNS), machine)
    return found


def attention_features(call: AttentionCall, machine: Machine) -> Features:
    """Of attention: requests, tokens and heads, and keys and values beside the cache."""
    keys = np.asarray(call.query_tokens, np.float64) + call.cached_tokens
    latent = np.asarray(call.latent_dim, np.float64) + call.rope_dim
    width = np.where(latent > 0, latent, call.kv_heads * (call.head_dim + call.v_head_dim))
    kv_bytes = call.batch * keys * width * call.kv_size
    batch = np.broadcast_to(np.asarray(call.batch, np.float64), kv_bytes.shape)
    found = {
        "batch": np.log(batch),
        "query tokens": np.log(call.query_tokens),
        "keys": np.log(keys),
        "heads": np.log(call.heads),
        "heads of a group": np.log(np.asarray(call.heads, np.float64) / call.kv_heads),
        "head dim": np.log(call.head_dim),
        "kv size": np.log(call.kv_size),
        "keys over cache": np.log(kv_bytes / machine.cache_bytes),
    }
    for height in (16, 128):
        rows = np.ceil(np.asarray(call.query_tokens, np.float64) / height)
        found |= _waves(f"blocks {height}", batch * call.heads * rows, machine)
    return found


FEATURES: dict[str, Callable[[Any, Machine], Features]] = {
    "experts": expert_features,
    "gemm": gemm_features,
    "attention": attention_features,
}
"""Kernel -> what is seen of its calls beside their terms."""


def _intensity(flops: Floats, moved_bytes: Floats, machine: Machine) -> Floats:
    """Seconds of the products at the peak over those of the bytes at the bandwidth, as log."""
    compute_s = flops / machine.peak_flops_per_s
    return np.asarray(np.log(compute_s * machine.bandwidth_bytes_per_s / moved_bytes))


def _waves(name: str, tiles: Floats, machine: Machine) -> Features:
    """Waves of tiles over the SMs, and how much longer whole ones take, as logs."""
    waves = tiles / machine.units
    return {
        f"waves {name}": np.log(waves),
        f"last wave {name}": np.log(np.ceil(waves) / waves),
    }
