"""Running sums of the counts: where each expert's rows and tiles begin; the second step."""

from __future__ import annotations

import msgspec
import numpy as np

from ...base import BadInput
from .count import CHOICES, EXPERTS
from .exact import exactly, unwritten
from .kernel import Config, Kernel, Launch, Problem
from .slots import SlotsShape, counts_of, draw, starts_of


class OffsetsShape(msgspec.Struct, frozen=True):
    """What was counted, in how large blocks; tile_rows: of the grouped GEMM that follows."""

    slots: SlotsShape
    block_slots: int = 128
    tile_rows: int = 64

    def __post_init__(self) -> None:
        if min(self.block_slots, self.tile_rows) < 1:
            raise BadInput("needs at least one slot in a block and one row in a tile")


def problem(config: Config, shape: OffsetsShape, seed: int) -> Problem:
    experts = config["EXPERTS"]
    ids = draw(np.random.default_rng(seed), shape.slots, CHOICES, experts)
    counts = counts_of(ids, experts, shape.block_slots)
    rows = counts.sum(axis=1)
    tiles = -(-rows // shape.tile_rows)
    return Problem(
        shape=shape,
        arguments={
            "counts": counts,
            "block_starts": unwritten(*counts.shape),
            "row_starts": unwritten(experts + 1),
            "tile_starts": unwritten(experts + 1),
            "blocks": np.int32(counts.shape[1]),
            "tile_rows": np.int32(shape.tile_rows),
        },
        expected={
            "block_starts": exactly(starts_of(counts, axis=1)[:, :-1]),
            "row_starts": exactly(starts_of(rows)),
            "tile_starts": exactly(starts_of(tiles)),
        },
    )


def start(config: Config, shape: OffsetsShape | None) -> Launch:
    return Launch(grid=(1, 1, 1), threads=32 * config["WARPS"], shared_bytes=0)


def sizes(shape: OffsetsShape) -> dict[str, int]:
    return {"tile_rows": shape.tile_rows}


# A warp for each expert where a block can hold them: the one block waits for memory, and more warps
# wait for more of it at once.
CONFIGS: dict[str, Config] = {
    "8-experts": {"EXPERTS": 8, "WARPS": 8},
    "16-experts": {"EXPERTS": 16, "WARPS": 16},
    "64-experts": {"EXPERTS": 64, "WARPS": 32},
    "64-experts-8-warps": {"EXPERTS": 64, "WARPS": 8},
    "128-experts": {"EXPERTS": 128, "WARPS": 32},
    "160-experts": {"EXPERTS": 160, "WARPS": 32},
    "256-experts": {"EXPERTS": 256, "WARPS": 32},
    "384-experts": {"EXPERTS": 384, "WARPS": 32},
    "512-experts": {"EXPERTS": 512, "WARPS": 32},
}

OFFSETS = Kernel(
    name="offsets",
    does="where each expert's rows and tiles begin, and each block's rows; sorting, step 2 of 3",
    source="offsets.cu",
    entry="offsets",
    headers=("primitives.cuh", "warp.cuh"),
    parameters={"EXPERTS": EXPERTS, "WARPS": (1, 2, 4, 8, 16, 32)},
    constraints=(),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes={
        "tokens-64": OffsetsShape(SlotsShape(64)),
        "one-slot-block": OffsetsShape(SlotsShape(9), block_slots=1, tile_rows=1),
        "many-blocks": OffsetsShape(SlotsShape(301), block_slots=16, tile_rows=16),
        "to-one": OffsetsShape(SlotsShape(300, "one"), tile_rows=128),
        "to-none": OffsetsShape(SlotsShape(33, "none")),
    },
    problem=problem,
)
