"""Flops and bytes of routed experts.

Plain arithmetic on floats or arrays: `operators` calls it as it stands, `points` compiles it.
"""

from __future__ import annotations

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
        rows * (inputs + outputs) * (activation_size),
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
