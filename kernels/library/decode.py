"""The experts' matrices for a small batch: the weights streamed past a few tokens.

The rows come sorted by expert, as for the grouped GEMM: the same routing feeds both, so an engine
changes between them by the size of the batch alone, the rows that share an expert lie together and
read its weights once, and the launch depends on batch and top-k, not on the counts: it can be
recorded once in a CUDA graph.
"""

from __future__ import annotations

import numpy as np

from . import bounds
from .experts import (
    NULL,
    ExpertsShape,
    draw,
    finished,
    out_form,
    poison,
    reference,
    sizes,
    sums_of,
)
from .kernel import Config, Constraint, Kernel, Launch, Problem

WARP_DEPTH = 256
"""Numbers of the depth that a warp reads at once, 16 bytes a lane."""


class DecodeShape(ExpertsShape, frozen=True):
    """more: rows that the launch provides for beyond those there are, as where some of the batch's
    experts are on other GPUs."""

    more: int = 0


def start(config: Config, shape: DecodeShape | None) -> Launch:
    grid = (1, 1, 1)
    if shape is not None:
        columns_per_block = config["COLUMNS"] * config["WARPS"]
        grid = (shape.columns // columns_per_block, max(sum(shape.rows) + shape.more, 1), 1)
    return Launch(grid=grid, threads=32 * config["WARPS"], shared_bytes=0)


def problem(config: Config, shape: DecodeShape, seed: int) -> Problem:
    operands, form = draw(shape, config, seed), out_form(config)
    value = reference(*operands.numbers(), shape.row_starts(), bool(config["FUSE_SWIGLU"]))
    whole = slice(0, shape.depth)
    # derived: a lane's sum rounds once for each number of its depth, then 5 times over the lanes.
    roundings = -(-shape.depth // WARP_DEPTH) * (WARP_DEPTH // 32) + 5
    errors = bounds.fp32_sum(roundings) * sums_of(operands, shape, whole, magnitudes=True)
    return Problem(
        shape=shape,
        arguments={
            "in": operands.inputs,
            "weights": operands.weights,
            "out": poison(value.shape, form),
            "row_starts": shape.row_starts(),
            "tokens": operands.tokens if config["GATHER"] else NULL,
            "experts": np.int32(len(shape.rows)),
            "columns": np.int32(shape.columns),
            "depth": np.int32(shape.depth),
        },
        expected={"out": finished(value, sums_of(operands, shape, whole), errors, form)},
        multiply_adds=shape.multiply_adds(config),
    )


def _config(use: str, tokens: int, words: str) -> Config:
    parts = 2 if use == "gate-up" else 1
    return {
        "DTYPE": int("fp16" in words),
        "FUSE_SWIGLU": parts - 1,
        "GATHER": int("gather" in words),
        "TOKENS": tokens,
        "COLUMNS": 4,
        "WARPS": 4,
        "UNROLL": PIECES[tokens] // parts,
    }


# Pieces of a column's weights under way, by the most rows of one expert at once: the fewer sums,
# the more registers are left for them. With more rows the arithmetic, not the memory, takes the
# time, and tensor cores do better.
PIECES = {1: 8, 2: 4, 4: 4, 8: 2}

CONFIGS: dict[str, Config] = {
    "-".join(filter(None, (use, str(tokens), words))): _config(use, tokens, words)
    for use, variants in {"gate-up": ("", "gather", "gather-fp16"), "down": ("", "fp16")}.items()
    for tokens in PIECES
    for words in variants
}

SHAPES: dict[str, DecodeShape] = {
    "usual": DecodeShape(rows=(1, 0, 2, 5, 0, 8), depth=512, columns=128),
    "one-token": DecodeShape(rows=(0, 0, 1), depth=256, columns=64, more=7),
    "no-rows": DecodeShape(rows=(0, 0), depth=256, columns=64),
    "tails": DecodeShape(rows=(0, 9, 3), depth=1032, columns=64),
    "shallow": DecodeShape(rows=(2, 1), depth=8, columns=64),
    "many-experts": DecodeShape(
        rows=(0, 2, 1, 0, *[0] * 26, 1, 3, 0, 4, 1, 1, 0, 2, 0), depth=264, columns=64
    ),
}

DECODE = Kernel(
    name="decode",
    does="the experts' matrices for 1 to 16 tokens by vector loads: gate, up and SwiGLU, or down",
    source="decode.cu",
    entry="decode",
    headers=("primitives.cuh", "warp.cuh"),
    parameters={
        "DTYPE": (0, 1),
        "FUSE_SWIGLU": (0, 1),
        "GATHER": (0, 1),
        "TOKENS": (1, 2, 4, 8, 16),
        "COLUMNS": (4, 8),
        "WARPS": (1, 2, 4, 8),
        "UNROLL": (1, 2, 4, 8),
    },
    constraints=(
        Constraint(
            "(1 + FUSE_SWIGLU) * COLUMNS * (TOKENS + 4 * UNROLL) + 6 * TOKENS <= 192",
            "sums, weights under way and tokens fit the registers of a thread",
        ),
        Constraint("columns % (COLUMNS * WARPS) == 0", "column blocks have no tail"),
        Constraint("depth % 8 == 0", "the depth is read by 16 bytes"),
    ),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes=SHAPES,
    problem=problem,
)
