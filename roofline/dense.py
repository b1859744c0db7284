"""Flops and bytes of dense operators.

Plain arithmetic on floats or arrays: `operators` calls it as it stands, `points` compiles it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Number: TypeAlias = Any
"""A float, or an array of them: one formula serves both."""


def linear(
    tokens: Number, inputs: Number, outputs: Number, weight_size: Number, activation_size: Number
) -> tuple[Number, Number, Number]:
    """A product of `tokens` rows with an `inputs` x `outputs` weight: flops, weight and activation
    bytes. The sizes are bytes per element.

    derived: a multiply-add is two operations, each operand moves once, no row reads no weight.
    """
    flops = 2.0 * tokens * inputs * outputs
    weights = (tokens > 0) * (inputs * outputs * weight_size)
    return flops, weights, tokens * (inputs + outputs) * activation_size


def elementwise(tokens: Number, reads: Number, writes: Number, size: Number) -> Number:
    """Bytes that an operator without products moves: `reads` + `writes` elements a token."""
    return tokens * (reads + writes) * size
