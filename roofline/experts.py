"""Flops and bytes of routed experts.

Plain arithmetic on floats or arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .dense import Number


def expert_matrices(
    rows: Number,
    touched: Number,
    inputs: Number,
    outputs: Number,
    weight_size: Number,
    activation_size: Number,
) -> tuple[Number, Number, Number]:
    """`rows` token rows against the `inputs` x `outputs` matrix of each of `touched` experts.

    Returns flops, weight bytes and activation bytes. derived: only touched experts are read, and
    each of them once; `touched` may be an expectation.
    """
    flops = 2.0 * rows * inputs * outputs
    return (
        flops,
        touched * inputs * outputs * weight_size,
        rows * (inputs + outputs) * activation_size,
    )


def distinct_groups(experts: Number, local: Number, top_k: Number) -> Number:
    """The chance that a token's `top_k` distinct experts include one of `local` out of `experts`.

    derived: 1 - C(experts - local, k) / C(experts, k) as a product, exact for uniform routing.
    For skewed routing `local` is the group's share of the load times the number of experts.
    """
    miss = 1.0
    for j in range(top_k):
        miss = miss * max(0.0, experts - local - j) / (experts - j)
    return 1.0 - miss


def copy_touched(
    loads: NDArray[np.float64],
    touched: NDArray[np.float64],
    copies: NDArray[np.int64],
    tokens: float,
) -> NDArray[np.float64]:
    """The chance that one copy of each expert is read: all `[experts]`.

    touched: the chance for all copies together; tokens: of the step, whose assignments are loads.
    derived: a copy gets a 1 / copies share of the expert's tokens at random. With L tokens for
    sure (touched is 1) that misses it with (1 - 1 / copies)^L; with p a token it does with
    (1 - p / copies)^tokens.
    """
    out = np.array(touched, float)
    many = copies > 1
    load, shared = loads[many], copies[many]
    certain = -np.expm1(load * np.log1p(-1 / shared))
    expected = -np.expm1(tokens * np.log1p(-load / (max(tokens, 1e-300) * shared)))
    out[many] = np.where(out[many] >= 1, certain, expected)
    return out
