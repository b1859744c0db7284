"""The sum over the splits of a grouped GEMM's depth, with SwiGLU where it was asked."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from . import bounds
from .experts import finished, out_form, poison, swiglu
from .formats import FP32
from .kernel import Config, Constraint, Kernel, Launch, Problem

NUMBERS_PER_THREAD = 4


class SplitReduceShape(msgspec.Struct, frozen=True):
    """rows and columns of the output."""

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows < 0 or self.columns < 1:
            raise BadInput("needs no negative rows and at least one column")


def start(config: Config, shape: SplitReduceShape | None) -> Launch:
    blocks = 1
    if shape is not None:
        per_block = NUMBERS_PER_THREAD * config["THREADS"]
        blocks = max(-(-shape.rows * shape.columns // per_block), 1)
    return Launch(grid=(blocks, 1, 1), threads=config["THREADS"], shared_bytes=0)


def sizes(shape: SplitReduceShape) -> dict[str, int]:
    return {"rows": shape.rows, "columns": shape.columns}


def reference(sums: NDArray[np.float64], fuse_swiglu: bool) -> NDArray[np.float64]:
    """sums `[splits, parts, rows, columns]` -> `[rows, columns]`: silu(gate) * up or the sum."""
    total = sums.sum(axis=0)
    return swiglu(total[0], total[1]) if fuse_swiglu else np.asarray(total[0])


def problem(config: Config, shape: SplitReduceShape, seed: int) -> Problem:
    splits, parts = config["SPLIT_K"], 1 + config["FUSE_SWIGLU"]
    rng = np.random.default_rng(seed)
    bits = FP32.encode(rng.standard_normal((splits, parts, shape.rows, shape.columns)))
    sums, form = FP32.decode(bits), out_form(config)
    value = reference(sums, bool(config["FUSE_SWIGLU"]))
    # derived: the first addition, to zero, is exact.
    errors = bounds.fp32_sum(splits - 1) * np.abs(sums).sum(axis=0)
    return Problem(
        shape=shape,
        arguments={
            "sums": bits,
            "out": poison(value.shape, form),
            "numbers": np.uint32(value.size),
        },
        expected={"out": finished(value, sums.sum(axis=0), errors, form)},
    )


CONFIGS: dict[str, Config] = {
    f"{use}-{splits}{'-fp16' * dtype}": {
        "DTYPE": dtype,
        "FUSE_SWIGLU": fuse,
        "SPLIT_K": splits,
        "THREADS": 256,
    }
    for fuse, use in enumerate(("down", "gate-up"))
    for splits in (2, 4, 8)
    for dtype in (0, 1)
}

SHAPES: dict[str, SplitReduceShape] = {
    "usual": SplitReduceShape(rows=64, columns=256),
    "one-row": SplitReduceShape(rows=1, columns=4),
    "tails": SplitReduceShape(rows=3, columns=684),
}

SPLIT_REDUCE = Kernel(
    name="split-reduce",
    does="the sum over the splits of a grouped GEMM's depth, and SwiGLU of it",
    source="split_reduce.cu",
    entry="split_reduce",
    headers=("primitives.cuh",),
    parameters={
        "DTYPE": (0, 1),
        "FUSE_SWIGLU": (0, 1),
        "SPLIT_K": (2, 4, 8),
        "THREADS": (64, 128, 256, 512),
    },
    constraints=(Constraint("columns % 4 == 0", "a thread makes four neighbouring numbers"),),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes=SHAPES,
    problem=problem,
)
