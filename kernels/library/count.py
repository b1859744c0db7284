"""Counting: how many slots of each block go to each expert; the first step of the sort."""

from __future__ import annotations

import numpy as np

from .exact import exactly, unwritten
from .kernel import Config, Kernel, Launch, Problem
from .slots import SHAPES, SlotsShape, counts_of, draw

CHOICES = 4
"""Slots of a token in the problems; the kernel itself knows no tokens."""


def block_slots(config: Config) -> int:
    """The slots of a block, which `count` and `permute` must have in common."""
    return 32 * config["WARPS"] * config["STEPS"]


def problem(config: Config, shape: SlotsShape, seed: int) -> Problem:
    ids = draw(np.random.default_rng(seed), shape, CHOICES, config["EXPERTS"])
    counts = counts_of(ids, config["EXPERTS"], block_slots(config))
    return Problem(
        shape=shape,
        arguments={
            "ids": ids,
            "counts": unwritten(*counts.shape),
            "slots": np.int32(ids.size),
        },
        expected={"counts": exactly(counts)},
    )


def start(config: Config, shape: SlotsShape | None) -> Launch:
    slots = 1 if shape is None else shape.tokens * CHOICES
    blocks = -(-slots // block_slots(config))
    return Launch(grid=(blocks, 1, 1), threads=32 * config["WARPS"], shared_bytes=0)


def sizes(shape: SlotsShape) -> dict[str, int]:
    return {"tokens": shape.tokens}


def _config(experts: int, warps: int, steps: int) -> Config:
    return {"EXPERTS": experts, "WARPS": warps, "STEPS": steps}


# Small blocks for few tokens. Large ones for many: each block costs a number for each expert.
CONFIGS: dict[str, Config] = {
    f"{config['EXPERTS']}-{config['WARPS']}x{config['STEPS']}": config
    for config in (
        _config(8, 4, 1),
        _config(8, 8, 4),
        _config(16, 1, 2),
        _config(64, 4, 1),
        _config(64, 4, 3),
        _config(128, 8, 2),
        _config(160, 4, 3),
        _config(256, 4, 1),
        _config(256, 8, 4),
        _config(384, 8, 4),
        _config(512, 4, 5),
    )
}

EXPERTS = (8, 16, 32, 64, 96, 128, 160, 192, 256, 320, 384, 512)
WARPS = (1, 2, 4, 8, 16)
STEPS = (1, 2, 3, 4, 5, 6, 8)

COUNT = Kernel(
    name="count",
    does="how many slots of each block of slots go to each expert; sorting, step 1 of 3",
    source="count.cu",
    entry="count",
    headers=("primitives.cuh", "warp.cuh", "slots.cuh"),
    parameters={"EXPERTS": EXPERTS, "WARPS": WARPS, "STEPS": STEPS},
    constraints=(),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes=SHAPES,
    problem=problem,
)
