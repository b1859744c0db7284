"""The weighted sum of the experts' results: the end of the mixture."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from . import bounds
from .experts import NULL, poison
from .formats import BF16, DTYPES, FP16
from .kernel import Config, Constraint, Expected, Kernel, Launch, Problem

PIECE = 8
"""Numbers in 16 bytes."""


class CombineShape(msgspec.Struct, frozen=True):
    """missing: the share of slots that have no expert, and so no row."""

    tokens: int
    columns: int
    missing: float = 0.1

    def __post_init__(self) -> None:
        if min(self.tokens, self.columns) < 1 or not 0 <= self.missing <= 1:
            raise BadInput("needs at least one token and column, and a share between 0 and 1")


def reference(
    rows: NDArray[np.float64],
    row_of_slot: NDArray[np.int32],
    weights: NDArray[Any],
    shared: NDArray[np.float64],
) -> NDArray[np.float64]:
    """shared + the sum of weight * row over the slots that have one, `[tokens, columns]`.

    rows `[rows, columns]`, row_of_slot and weights `[tokens, TOP_K]`, shared `[tokens, columns]`.
    """
    there = row_of_slot >= 0
    weights = np.where(there, weights, 0)
    routed: NDArray[np.float64] = np.einsum(
        "ts,tsc->tc", weights, rows[np.where(there, row_of_slot, 0)]
    )
    return shared + routed


def problem(config: Config, shape: CombineShape, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    form, slots = DTYPES[config["DTYPE"]], (shape.tokens, config["TOP_K"])
    there = rng.random(slots) >= shape.missing
    row_of_slot = np.full(slots, -1, np.int32)
    row_of_slot[there] = rng.permutation(int(there.sum()))
    # The weight of a slot without a row may be anything.
    weights = np.where(there, rng.random(slots), np.nan).astype(np.float32)
    rows = form.encode(rng.standard_normal((max(int(there.sum()), 1), shape.columns)))
    shared = form.encode(rng.standard_normal((shape.tokens, shape.columns)))
    added = form.decode(shared) * config["SHARED"]
    value = reference(form.decode(rows), row_of_slot, weights, added)
    largest = reference(np.abs(form.decode(rows)), row_of_slot, weights, np.abs(added))
    # derived: a fused multiply-add for each slot rounds once.
    error = bounds.fp32_sum(config["TOP_K"]) * largest
    return Problem(
        shape=shape,
        arguments={
            "rows": rows,
            "row_of_slot": row_of_slot,
            "weights": weights,
            "shared": shared if config["SHARED"] else NULL,
            "out": poison((shape.tokens, shape.columns), form),
            "pieces": np.int32(shape.columns // PIECE),
        },
        expected={
            "out": Expected(
                value=value, bound=bounds.rounded(value, error, form), values=form.decode
            )
        },
    )


def start(config: Config, shape: CombineShape | None) -> Launch:
    tokens, columns = (1, PIECE) if shape is None else (shape.tokens, shape.columns)
    parts = -(-columns // (PIECE * config["THREADS"] * config["VECTORS"]))
    return Launch(grid=(tokens, parts, 1), threads=config["THREADS"], shared_bytes=0)


def sizes(shape: CombineShape) -> dict[str, int]:
    return {"columns": shape.columns}


def _config(top_k: int, dtype: int, shared: int, threads: int, vectors: int) -> Config:
    return {
        "DTYPE": dtype,
        "TOP_K": top_k,
        "SHARED": shared,
        "THREADS": threads,
        "VECTORS": vectors,
    }


# Few threads and one vector each for few tokens, so that a token is spread over many blocks.
CONFIGS: dict[str, Config] = {
    f"top{config['TOP_K']}-{DTYPES[config['DTYPE']].name}"
    + "-shared" * config["SHARED"]
    + f"-{config['THREADS']}x{config['VECTORS']}": config
    for config in (
        _config(1, 0, 0, 128, 1),
        _config(1, 0, 1, 128, 1),
        _config(2, 0, 0, 64, 1),
        _config(2, 0, 0, 256, 2),
        _config(2, 1, 0, 256, 2),
        _config(4, 0, 0, 128, 1),
        _config(4, 1, 1, 128, 2),
        _config(6, 0, 1, 32, 1),
        _config(6, 0, 1, 256, 1),
        _config(8, 0, 0, 64, 1),
        _config(8, 0, 1, 128, 1),
        _config(8, 0, 1, 128, 4),
        _config(8, 1, 1, 128, 2),
        _config(10, 0, 1, 128, 2),
        _config(10, 1, 0, 64, 1),
    )
}

COMBINE = Kernel(
    name="combine",
    does="each token's weighted sum of its experts' rows, and of the shared expert's (bf16, fp16)",
    source="combine.cu",
    entry="combine",
    headers=("primitives.cuh",),
    parameters={
        "DTYPE": (DTYPES.index(BF16), DTYPES.index(FP16)),
        "TOP_K": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16),
        "SHARED": (0, 1),
        "THREADS": (32, 64, 128, 256, 512, 1024),
        "VECTORS": (1, 2, 4, 8),
    },
    constraints=(Constraint("columns % 8 == 0", "rows are read in 16-byte pieces"),),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes={
        "64x256": CombineShape(64, 256),
        "one-token": CombineShape(1, 8, missing=0),
        "tail": CombineShape(5, 8 * 131),
        "wide": CombineShape(2, 8 * 1037),
        "no-expert": CombineShape(7, 264, missing=1),
    },
    problem=problem,
)
