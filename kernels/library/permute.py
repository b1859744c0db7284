"""The row of each slot when sorted by expert, and the token of each row; the last step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .count import EXPERTS, STEPS, WARPS, block_slots
from .exact import POISON, exactly, unwritten
from .experts import NULL
from .kernel import Config, Constraint, Kernel, Launch, Problem
from .slots import SHAPES, SlotsShape, counts_of, draw, starts_of


def reference(ids: NDArray[np.int32], experts: int) -> NDArray[np.int32]:
    """The row of each slot when slots are sorted by expert and keep their order; -1 for none."""
    real = (ids >= 0) & (ids < experts)
    slots = np.flatnonzero(real)
    rows = np.full(ids.size, -1, np.int32)
    rows[slots[np.argsort(ids[slots], kind="stable")]] = np.arange(slots.size)
    return rows


def problem(config: Config, shape: SlotsShape, seed: int) -> Problem:
    experts, top_k = config["EXPERTS"], config["TOP_K"]
    rng = np.random.default_rng(seed)
    ids = draw(rng, shape, top_k, experts)
    counts = counts_of(ids, experts, block_slots(config))
    row_of_slot = reference(ids, experts)
    sorted_slots = np.flatnonzero(row_of_slot >= 0)
    token_of_row = np.full(ids.size, POISON)  # rows that nobody has stay as they are
    token_of_row[row_of_slot[sorted_slots]] = sorted_slots // top_k
    words = rng.integers(0, 2**31, (shape.tokens, shape.pieces, 4)).astype(np.int32)
    sorted_words = np.full((ids.size, shape.pieces, 4), POISON)
    sorted_words[row_of_slot[sorted_slots]] = words[sorted_slots // top_k]
    move = config["MOVE"]
    return Problem(
        shape=shape,
        arguments={
            "ids": ids,
            "row_starts": starts_of(counts.sum(axis=1)),
            "block_starts": np.ascontiguousarray(starts_of(counts, axis=1)[:, :-1]),
            "row_of_slot": unwritten(ids.size),
            "token_of_row": unwritten(ids.size),
            "tokens": words if move else NULL,
            "sorted": unwritten(*sorted_words.shape) if move else NULL,
            "slots": np.int32(ids.size),
            "pieces": np.int32(shape.pieces),
        },
        expected={
            "row_of_slot": exactly(row_of_slot),
            "token_of_row": exactly(token_of_row),
            **({"sorted": exactly(sorted_words)} if move else {}),
        },
    )


def start(config: Config, shape: SlotsShape | None) -> Launch:
    slots, pieces = (1, 1) if shape is None else (shape.tokens * config["TOP_K"], shape.pieces)
    blocks = -(-slots // block_slots(config))
    # Moving is the work: blocks that share it sort again, so that each has four rounds of a warp.
    sharing = -(-pieces // 128) if config["MOVE"] else 1
    return Launch(grid=(blocks, sharing, 1), threads=32 * config["WARPS"], shared_bytes=0)


def sizes(shape: SlotsShape) -> dict[str, int]:
    return {"tokens": shape.tokens}


def _config(experts: int, top_k: int, warps: int, steps: int, move: int = 0) -> Config:
    return {"EXPERTS": experts, "TOP_K": top_k, "WARPS": warps, "STEPS": steps, "MOVE": move}


# As of `count`. The grouped GEMM gathers by itself: rows are moved for kernels that cannot.
CONFIGS: dict[str, Config] = {
    "{EXPERTS}-top{TOP_K}-{WARPS}x{STEPS}".format_map(config) + "-move" * config["MOVE"]: config
    for config in (
        _config(8, 1, 4, 1),
        _config(8, 2, 4, 1),
        _config(8, 2, 8, 4),
        _config(16, 2, 1, 2),
        _config(64, 6, 4, 1),
        _config(64, 8, 4, 1),
        _config(128, 8, 8, 2),
        _config(160, 6, 4, 3),
        _config(256, 8, 4, 1),
        _config(256, 8, 8, 4),
        _config(384, 8, 8, 4),
        _config(512, 10, 4, 5),
        _config(8, 2, 4, 1, move=1),
        _config(64, 6, 4, 3, move=1),
        _config(128, 8, 8, 2, move=1),
        _config(256, 8, 4, 1, move=1),
        _config(512, 10, 4, 5, move=1),
    )
}

PERMUTE = Kernel(
    name="permute",
    does="each slot's row sorted by expert, each row's token; moves rows; sorting, step 3 of 3",
    source="permute.cu",
    entry="permute",
    headers=("primitives.cuh", "warp.cuh", "slots.cuh"),
    parameters={
        "EXPERTS": EXPERTS,
        "TOP_K": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16),
        "WARPS": WARPS,
        "STEPS": STEPS,
        "MOVE": (0, 1),
    },
    constraints=(
        Constraint(
            "not MOVE or 32 * WARPS * STEPS % TOP_K == 0",
            "a block that moves rows reads each of its tokens once, so it must have whole tokens",
        ),
    ),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes={**SHAPES, "wide": SlotsShape(3, pieces=300)},
    problem=problem,
)
