"""Shapes: what a kernel model asks beyond flops and bytes; the roofline reads none of them."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """A product with one weight of `inputs` x `outputs`. rows: on each device, `[devices]`."""

    rows: Floats
    inputs: float
    outputs: float


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """The routed experts of a layer: its up and down products together.

    tokens: of the whole stage. hidden; inter: one expert's width on a device. Copies of experts,
    `[copies]` each: rank that holds it, loads (assignments, expected or counted), touched (the
    chance that it gets any). counted: loads are those of a recorded routing, not expectations.
    each: devices that share a rank's experts, `each` in a row.
    """

    tokens: float
    top_k: int
    hidden: float
    inter: float
    gated: bool
    rank: NDArray[np.int64]
    loads: Floats
    touched: Floats
    counted: bool
    each: int


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """Attention without its projections, of requests that differ in length.

    new, cached: tokens of each kind of request, `[kinds]`; requests: of each kind on each device,
    `[kinds, devices]`. heads, kv_heads: on a device. head_dim, value_dim: widths of a query and of
    a value. latent, rope_dim: widths of the latent that stands for keys and values and of the
    rotary part beside it, 0 where there is none. kv_size: bytes of a cached element. causal: as in
    the mixer.
    """

    new: Floats
    cached: Floats
    requests: Floats
    heads: float
    kv_heads: float
    head_dim: float
    value_dim: float
    kv_size: float
    latent: float = 0.0
    rope_dim: float = 0.0
    causal: bool = True


Shape = Matrix | Routed | Core
