"""A whole layer: what each kernel writes is what the next one reads, from logits to the sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from moesaic.kernels import build, kernel
from moesaic.kernels.compiled.execute import execute
from moesaic.kernels.library.combine import CombineShape
from moesaic.kernels.library.exact import unwritten
from moesaic.kernels.library.experts import NULL, poison
from moesaic.kernels.library.formats import BF16
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape
from moesaic.kernels.library.route import RouteShape
from moesaic.kernels.library.slots import SlotsShape

TOKENS, EXPERTS, TOP_K, HIDDEN, WIDTH = 24, 8, 2, 128, 128
SLOTS = TOKENS * TOP_K
TILE_ROWS = 16


@pytest.fixture(scope="module")
def drawn():
    """Bits of tokens and weights, and logits that leave an expert without any token."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((TOKENS, EXPERTS)).astype(np.float32)
    logits[:, 3] = -np.inf
    return (
        logits,
        BF16.encode(rng.standard_normal((TOKENS, HIDDEN))),
        BF16.encode(rng.standard_normal((EXPERTS, 2 * WIDTH, HIDDEN)) / HIDDEN**0.5),
        BF16.encode(rng.standard_normal((EXPERTS, HIDDEN, WIDTH)) / WIDTH**0.5),
    )


def ran(name: str, config: str, shape: Any, **arguments: Any) -> dict[str, Any]:
    """The arrays after a launch of the kernel, which must do nothing that it must not."""
    pytest.importorskip("cupy", reason="needs cupy and NVRTC: pip install 'moesaic[gpu]'")
    one = kernel(name)
    values = one.config(config)
    found = execute(build(one, values, "sm_80"), one.launch(values, shape), arguments)
    assert found.faults == ()
    return found.outputs


def layer(logits, tokens, gate_up, down):
    chosen = ran(
        "route", "softmax-8-top2", RouteShape(TOKENS), logits=logits, bias=NULL,
        experts=unwritten(SLOTS), weights=np.full(SLOTS, np.nan, np.float32),
        tokens=np.int32(TOKENS), scale=np.float32(1),
    )  # fmt: skip
    ids, slots = chosen["experts"], np.int32(SLOTS)
    counts = ran(
        "count", "8-4x1", SlotsShape(TOKENS), ids=ids, counts=unwritten(EXPERTS), slots=slots
    )["counts"]
    starts = ran(
        "offsets", "8-experts", None, counts=counts, block_starts=unwritten(EXPERTS),
        row_starts=unwritten(EXPERTS + 1), tile_starts=unwritten(EXPERTS + 1),
        blocks=np.int32(1), tile_rows=np.int32(TILE_ROWS),
    )  # fmt: skip
    rows = ran(
        "permute", "8-top2-4x1", SlotsShape(TOKENS), ids=ids, row_starts=starts["row_starts"],
        block_starts=starts["block_starts"], row_of_slot=unwritten(SLOTS),
        token_of_row=unwritten(SLOTS), tokens=NULL, sorted=NULL, slots=slots, pieces=np.int32(0),
    )  # fmt: skip
    hidden, into = tokens, rows["token_of_row"]
    for config, weights, columns, depth in (
        ("gate-up-16x64-gather", gate_up, WIDTH, HIDDEN),
        ("down-16x128", down, HIDDEN, WIDTH),
    ):
        # The launch knows how many slots there are, and not where they go.
        shape = GroupedGemmShape((SLOTS, *[0] * (EXPERTS - 1)), depth=depth, columns=columns)
        hidden = ran(
            "grouped-gemm", config, shape, **{"in": hidden}, weights=weights,
            out=poison((SLOTS, columns), BF16), row_starts=starts["row_starts"],
            tile_starts=starts["tile_starts"], tokens=into, in_scales=NULL, weight_scales=NULL,
            experts=np.int32(EXPERTS), columns=np.int32(columns), depth=np.int32(depth),
        )["out"]  # fmt: skip
        into = NULL
    return ran(
        "combine", "top2-bf16-64x1", CombineShape(TOKENS, HIDDEN), rows=hidden,
        row_of_slot=rows["row_of_slot"], weights=chosen["weights"], shared=NULL,
        out=poison((TOKENS, HIDDEN), BF16), pieces=np.int32(HIDDEN // 8),
    )["out"]  # fmt: skip


def plain(logits, tokens, gate_up, down):
    """The layer token by token in float64, and its error: a rounding to bf16 after SwiGLU, after
    down and at the end; what fp32 adds is within a hundredth of them."""
    tokens, gate_up, down = (BF16.decode(bits) for bits in (tokens, gate_up, down))
    out, error = np.zeros((2, TOKENS, HIDDEN))
    for token in range(TOKENS):
        chosen = np.argsort(-logits[token], kind="stable")[:TOP_K]
        weights = np.exp(logits[token, chosen].astype(float))
        for expert, weight in zip(chosen, weights / weights.sum(), strict=True):
            gate, up = np.split(gate_up[expert] @ tokens[token], 2)
            inner = gate / (1 + np.exp(-gate)) * up
            out[token] += weight * (down[expert] @ inner)
            error[token] += weight * np.abs(down[expert] @ inner)
            error[token] += weight * (np.abs(down[expert]) @ np.abs(inner))
    return out, 1.01 * BF16.unit * (error + np.abs(out))


def test_a_layer_of_kernels_is_the_layer_in_float64(drawn):
    expected, error = plain(*drawn)
    found = BF16.decode(layer(*drawn))
    assert (np.abs(found - expected) <= error).all()
    assert error.max() < 0.1 * np.abs(expected).max()
