"""A real MoE layer on this CPU: numpy, float32, one matrix product for each expert that has tokens.

The steps are those of a fused GPU layer: router top-k, permutation, gate and up product, SwiGLU,
down product, weighted combine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .clock import time_s
from .measurements import Array, Measurements, Provenance

Floats = NDArray[np.float32]
MOST_BYTES = 4 * 2**30


class Shape(NamedTuple):
    """A layer: `experts` of width `inter` on a stream of width `hidden`, `top_k` for a token."""

    hidden: int
    inter: int
    experts: int
    top_k: int

    @property
    def weight_bytes(self) -> int:
        return 4 * self.experts * 3 * self.hidden * self.inter


SHAPES = (Shape(1024, 2048, 8, 2), Shape(1024, 512, 64, 8), Shape(512, 256, 128, 8))
"""Few wide experts, many narrow ones, and weights that nearly fit a large cache."""

TOKENS = (1, 4, 16, 64, 256)


class Layer(NamedTuple):
    """Weights. router [hidden, experts]; gate_up [experts, hidden, 2 * inter], gate first;
    down [experts, inter, hidden]; top_k experts for a token."""

    router: Floats
    gate_up: Floats
    down: Floats
    top_k: int


def make(shape: Shape, seed: int) -> Layer:
    """Random weights of a variance that keeps activations near one. Refuses what is too large."""
    hidden, inter, experts, top_k = shape
    if min(shape) < 1 or top_k > experts:
        raise BadInput("needs sizes of at least 1 and top_k of at most experts", value=tuple(shape))
    if shape.weight_bytes > MOST_BYTES:
        raise BadInput(f"would hold more than {MOST_BYTES} bytes", value=tuple(shape))
    random = np.random.default_rng(seed)

    def normal(*size: int) -> Floats:
        values = random.standard_normal(size, np.float32)
        values *= np.float32(size[-2] ** -0.5)
        return values

    return Layer(
        normal(hidden, experts),
        normal(experts, hidden, 2 * inter),
        normal(experts, inter, hidden),
        top_k,
    )


def inputs(hidden: int, tokens: int, seed: int) -> Floats:
    """Activations [tokens, hidden], independent of the weights of the same seed."""
    return np.random.default_rng((seed, 1)).standard_normal((tokens, hidden), np.float32)


def route(layer: Layer, x: Floats) -> tuple[Array, Floats]:
    """Experts [tokens, top_k] of the highest logits and their softmax weights [tokens, top_k]."""
    logits = x @ layer.router
    chosen = np.argpartition(-logits, layer.top_k - 1, axis=1)[:, : layer.top_k]
    picked = np.take_along_axis(logits, chosen, axis=1)
    weights = np.exp(picked - picked.max(axis=1, keepdims=True))
    return chosen, weights / weights.sum(axis=1, keepdims=True)


def forward(layer: Layer, x: Floats) -> Floats:
    """The layer's output [tokens, hidden] for activations [tokens, hidden]."""
    chosen, weights = route(layer, x)
    experts = chosen.ravel()
    order = np.argsort(experts, kind="stable")
    rows = x[order // layer.top_k]
    bounds = np.searchsorted(experts[order], np.arange(len(layer.down) + 1))
    out = np.empty_like(rows)
    inter = layer.down.shape[1]
    for expert in np.flatnonzero(np.diff(bounds)):
        part = slice(bounds[expert], bounds[expert + 1])
        both = rows[part] @ layer.gate_up[expert]
        gate, up = both[:, :inter], both[:, inter:]
        out[part] = (gate / (1 + np.exp(-gate)) * up) @ layer.down[expert]
    back = np.empty_like(out)
    back[order] = out
    assigned = back.reshape(*chosen.shape, x.shape[1])
    combined: Floats = np.einsum("tkh,tk->th", assigned, weights)
    return combined


def run(hidden: int, inter: int, experts: int, top_k: int, tokens: int, seed: int) -> Floats:
    """The output [tokens, hidden] of a layer with random weights on random activations."""
    shape = Shape(hidden, inter, experts, top_k)
    return forward(make(shape, seed), inputs(hidden, tokens, seed))


def measure(
    shapes: Sequence[Shape] = SHAPES,
    tokens: Sequence[int] = TOKENS,
    *,
    seed: int = 0,
    budget_s: float = 0.4,
) -> Measurements:
    """Times every shape at every token count on this machine, each for at most about `budget_s`.

    The router is random, so the load is about uniform; `activated_experts` is what it touched.
    The default set takes about 10 s.
    """
    rows: list[dict[str, object]] = []
    for shape in shapes:
        layer = make(Shape(*shape), seed)
        for count in tokens:
            x = inputs(layer.router.shape[0], count, seed)
            timing = time_s(partial(forward, layer, x), budget_s=budget_s)
            rows.append(
                _row(Shape(*shape), count)
                | {
                    "latency_s": timing.median_s,
                    "spread": timing.spread,
                    "n_repeats": timing.repeats,
                    "activated_experts": len(np.unique(route(layer, x)[0])),
                }
            )
    if not rows:
        raise BadInput("needs at least one shape and one token count")
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Measurements(
        kind="moe",
        system="local",
        columns={
            name: column.astype(object) if column.dtype.kind == "U" else column
            for name, column in columns.items()
        },
        provenance=Provenance(source="timed by measured.cpu_layer on this machine"),
        evidence="measured-here",
    )


def _row(shape: Shape, tokens: int) -> dict[str, object]:
    return {
        "backend": "numpy",
        "version": np.__version__,
        "kernel_source": "one product for each expert",
        "dtype": "fp32",
        "hidden": shape.hidden,
        "inter": shape.inter,
        "topk": shape.top_k,
        "num_experts": shape.experts,
        "gated": 1,
        "tp": 1,
        "ep": 1,
        "distribution": "uniform",
        "num_tokens": tokens,
    }
