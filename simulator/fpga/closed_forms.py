"""Cycles of the blocks of FPGA accelerators by formula: initiation interval one, nothing stalls.

Plain integer arithmetic: every argument may be a number or a numpy array. Loops read in the HLS
sources of UbiMoE (arXiv 2502.05602, DJ000011/UbiMoE) and Edge-MoE (sharc-lab/Edge-MoE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Number: TypeAlias = Any
"""An int or an array of ints: one formula serves both."""


def tiles(size: Number, tile: Number) -> Number:
    """How many tiles cover `size`: the quotient rounded up."""
    return -(-size // tile)


def linear_cycles(
    tokens: Number, inputs: Number, outputs: Number, tin: Number, tout: Number, units: Number = 1
) -> Number:
    """The reusable linear kernel: a `tin` x `tout` tile of weights a cycle, shared by `units`
    compute units with one token each; the last group of tokens is padded."""
    return tiles(tokens, units) * tiles(inputs, tin) * tiles(outputs, tout)


def feature_cycles(tokens: Number, width: Number, lanes: Number, units: Number = 1) -> Number:
    """Reading (or writing) rows of `width` features, `lanes` a cycle, in groups of `units`."""
    return units * tiles(tokens, units) * tiles(width, lanes)


def weight_cycles(inputs: Number, outputs: Number, per_beat: Number = 16) -> Number:
    """Loading a weight matrix, `per_beat` weights of one output a cycle (16 of 16 bits on a port of
    256 bits)."""
    return outputs * tiles(inputs, per_beat)


def matrix_cycles(
    tokens: Number,
    inputs: Number,
    outputs: Number,
    tin: Number,
    tout: Number,
    units: Number,
    lanes: Number,
) -> Number:
    """A matrix on the linear kernel: the slowest of reader, compute units and writer."""
    compute = linear_cycles(tokens, inputs, outputs, tin, tout, units)
    read = feature_cycles(tokens, inputs, lanes, units)
    return np.maximum(np.maximum(compute, read), feature_cycles(tokens, outputs, lanes, units))


def stream_steps(tokens: Number, queries: Number) -> Number:
    """Key rows that pass `queries` processing elements until every pair has met; the remainder is
    the skew of the query reordering (Edge-MoE, attention reordering)."""
    return tokens * ((tokens + queries - 1) // queries) + (tokens + queries - 1) % queries


def attention_cycles(tokens: Number, width: Number, queries: Number, lanes: Number) -> Number:
    """One pass of the streaming attention, QK^T or AV, over all heads (`width` features)."""
    return tiles(width, lanes) * stream_steps(tokens, queries)


def gate_cycles(
    tokens: Number, width: Number, experts: Number, lanes: Number, softmax_interval: Number = 3
) -> Number:
    """Scores, softmax over the experts at `softmax_interval` cycles each, top-k: token by token.
    The latency of exp and division is left out (unstated)."""
    return tokens * (tiles(width, lanes) + softmax_interval * experts + experts)


def stream_counts(tokens: Number, width: Number, queries: Number, lanes: Number) -> dict[str, Any]:
    """Tokens through each FIFO of Edge-MoE's attention, by the FIFO's name in its source."""
    steps = stream_steps(tokens, queries)
    rows, keys = tokens * tiles(width, lanes), steps * tiles(width, lanes)
    return {
        "q_stream": rows,
        "k_stream": keys,
        "v_stream": keys,
        "qxk_stream": steps,
        "attn_stream": queries * steps,
        "attn_softmax_info_stream": tokens,
        "attn_matmul_v_stream": rows,
    }


def systolic_cycles(m: Number, n: Number, k: Number, rows: Number, columns: Number) -> Number:
    """An output-stationary array of `rows` x `columns`, tile after tile without overlap; equal to
    RTL simulation of such an array, operands registered once."""
    return tiles(m, rows) * tiles(n, columns) * (k + rows + columns - 2)


def _ws(m: Number, n: Number, k: Number, rows: Number, columns: Number) -> Number:
    return tiles(k, rows) * tiles(n, columns) * (2 * rows + columns + m - 2) - 1


def _os(m: Number, n: Number, k: Number, rows: Number, columns: Number) -> Number:
    return systolic_cycles(m, n, k, rows, columns) - 1


def _is(m: Number, n: Number, k: Number, rows: Number, columns: Number) -> Number:
    return tiles(k, rows) * tiles(m, columns) * (2 * rows + columns + n - 2) - 1


SCALESIM: dict[str, Callable[[Number, Number, Number, Number, Number], Number]] = {
    "ws": _ws,
    "os": _os,
    "is": _is,
}
"""Stall-free cycles that SCALE-Sim 3.0.0 reports, by dataflow: (m, n, k, rows, columns)."""


def linear_dsp(per_multiply: Number, tin: Number, tout: Number, units: Number) -> Number:
    """DSP of the linear kernel. derived: by analogy with the attention's model in UbiMoE eq. 2."""
    return per_multiply * tin * tout * units


def attention_dsp(
    per_multiply: Number, lanes: Number, queries: Number, heads: Number = 0, per_exp: Number = 0
) -> Number:
    """DSP of the attention kernel (UbiMoE eq. 2): two products and the exponentials, per query."""
    return (2 * per_multiply * lanes + per_exp * heads) * queries
