"""The grouped GEMM of the experts: gate and up with SwiGLU in one kernel, and down."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import bounds
from .experts import (
    NULL,
    ExpertsShape,
    Operands,
    draw,
    finished,
    out_form,
    poison,
    reference,
    sizes,
    sums_of,
)
from .formats import DTYPES, FP32
from .kernel import Config, Constraint, Expected, Kernel, Launch, Problem


class GroupedGemmShape(ExpertsShape, frozen=True):
    """blocks: of a persistent launch, such as those that the GPU runs at one time."""

    blocks: int = 132

    def tile_starts(self, config: Config) -> NDArray[np.int32]:
        """First row tile of each expert, then the number of tiles: `[experts + 1]`."""
        tiles = -(-np.asarray(self.rows) // config["BM"])
        return np.concatenate([[0], np.cumsum(tiles)]).astype(np.int32)

    def most_row_tiles(self, config: Config) -> int:
        """As many as any spread of the rows over the experts can need, so that a launch does not
        depend on the routing: each expert that has a row may have one tile that is not full."""
        with_rows = min(sum(self.rows), len(self.rows))
        return (sum(self.rows) - with_rows) // config["BM"] + with_rows


def start(config: Config, shape: GroupedGemmShape | None) -> Launch:
    parts = 1 + config["FUSE_SWIGLU"]
    stage = (config["BM"] + parts * config["BN"]) * config["BK"] * element_bytes(config)
    blocks = 1
    if shape is not None:
        tiles = shape.most_row_tiles(config) * (shape.columns // config["BN"]) * config["SPLIT_K"]
        blocks = shape.blocks if config["PERSISTENT"] else max(tiles, 1)
    return Launch(
        grid=(blocks, 1, 1),
        threads=32 * config["WARPS_M"] * config["WARPS_N"],
        shared_bytes=config["STAGES"] * stage,
    )


def element_bytes(config: Config) -> int:
    return 1 if config["DTYPE"] == 2 else 2


def problem(config: Config, shape: GroupedGemmShape, seed: int) -> Problem:
    operands = draw(shape, config, seed)
    expected = expect(config, shape, operands)
    form = FP32 if config["SPLIT_K"] > 1 else out_form(config)
    return Problem(
        shape=shape,
        arguments=arguments(config, shape, operands, poison(expected.value.shape, form)),
        expected={"out": expected},
        multiply_adds=shape.multiply_adds(config),
    )


def arguments(
    config: Config, shape: GroupedGemmShape, operands: Operands, out: NDArray[Any]
) -> dict[str, NDArray[Any] | np.generic]:
    """In the order of the CUDA parameters. out `[rows, columns]`, or fp32 sums
    `[split, parts, rows, columns]` with SPLIT_K."""
    scaled = config["DTYPE"] == 2
    return {
        "in": operands.inputs,
        "weights": operands.weights,
        "out": out,
        "row_starts": shape.row_starts(),
        "tile_starts": shape.tile_starts(config),
        "tokens": operands.tokens if config["GATHER"] else NULL,
        "in_scales": operands.in_scales if scaled else NULL,
        "weight_scales": operands.weight_scales if scaled else NULL,
        "experts": np.int32(len(shape.rows)),
        "columns": np.int32(shape.columns),
        "depth": np.int32(shape.depth),
    }


def zeros(config: Config, shape: GroupedGemmShape) -> dict[str, NDArray[Any] | np.generic]:
    """The arguments of a launch whose numbers do not matter, all of them zero."""
    form, parts = DTYPES[config["DTYPE"]], 1 + config["FUSE_SWIGLU"]
    rows, splits = sum(shape.rows), config["SPLIT_K"]
    weights = (len(shape.rows), parts * shape.columns, shape.depth)
    operands = Operands(
        form=form,
        inputs=np.zeros((rows, shape.depth), form.stored),
        weights=np.zeros(weights, form.stored),
        tokens=np.arange(rows, dtype=np.int32),
        in_scales=np.ones(rows, np.float32),
        weight_scales=np.ones(weights[:2], np.float32),
    )
    if splits > 1:
        out = poison((splits, parts, rows, shape.columns), FP32)
    else:
        out = poison((rows, shape.columns), out_form(config))
    return arguments(config, shape, operands, out)


def expect(config: Config, shape: GroupedGemmShape, operands: Operands) -> Expected:
    """The finished numbers, or with SPLIT_K the sums `[split, parts, rows, columns]`."""
    steps, splits = shape.depth // config["BK"], config["SPLIT_K"]
    edges = [steps * split // splits * config["BK"] for split in range(splits + 1)]
    depths = [slice(first, end) for first, end in pairwise(edges)]
    sums = np.stack([sums_of(operands, shape, depth) for depth in depths])
    # derived: the sum on the tensor cores, then two products with the scales of e4m3.
    errors = np.stack(
        [
            sums_of(operands, shape, depth, magnitudes=True)
            * (bounds.tensor_core_sum(operands.form, depth.stop - depth.start) + 2 * FP32.unit)
            for depth in depths
        ]
    )
    if splits > 1:
        return Expected(value=sums, bound=errors, values=FP32.decode)
    value = reference(*operands.numbers(), shape.row_starts(), bool(config["FUSE_SWIGLU"]))
    return finished(value, sums[0], errors[0], out_form(config))


def _tile(bm: int, bn: int, bk: int, warps: tuple[int, int], stages: int, fuse: int) -> Config:
    return {
        "BM": bm,
        "BN": bn,
        "BK": bk,
        "WARPS_M": warps[0],
        "WARPS_N": warps[1],
        "STAGES": stages,
        "FRAGMENTS": 1,
        "DTYPE": 0,
        "FUSE_SWIGLU": fuse,
        "GATHER": 0,
        "SPLIT_K": 1,
        "PERSISTENT": 0,
    }


# Small BM for decode, where an expert meets a few tokens; large tiles for prefill. Four stages
# where the loop is short of work to hide the memory behind.
TILES: dict[str, Config] = {
    "gate-up-16x64": _tile(16, 64, 64, (1, 4), 4, 1),
    "gate-up-16x128": _tile(16, 128, 128, (1, 4), 2, 1),
    "gate-up-32x64": _tile(32, 64, 64, (1, 4), 4, 1),
    "gate-up-64x64": _tile(64, 64, 64, (2, 2), 4, 1),
    "gate-up-128x64": _tile(128, 64, 64, (4, 2), 3, 1),
    "down-16x128": _tile(16, 128, 64, (1, 4), 4, 0),
    "down-32x128": _tile(32, 128, 64, (1, 4), 4, 0),
    "down-64x128": _tile(64, 128, 64, (2, 2), 3, 0),
    "down-128x128": _tile(128, 128, 64, (2, 4), 3, 0),
    "down-128x256": _tile(128, 256, 32, (2, 4), 4, 0),
}

# What a word in a name changes. With e4m3 the same bytes are twice the depth.
WORDS: dict[str, Config] = {
    "gather": {"GATHER": 1},
    "split2": {"SPLIT_K": 2},
    "split4": {"SPLIT_K": 4},
    "persistent": {"PERSISTENT": 1},
    "ahead": {"FRAGMENTS": 2},
    "fp16": {"DTYPE": 1},
    "e4m3": {"DTYPE": 2, "BK": 128},
}

# Gate and up take their tokens where they lie, down finds them sorted. The depth is split where
# few tiles would leave the GPU idle; large tiles are worth the registers of loading ahead.
VARIANTS: dict[str, str] = {
    "gate-up-16x64": "gather gather-split2 split4 fp16 gather-e4m3 gather-split2-e4m3",
    "gate-up-16x128": "gather",
    "gate-up-32x64": "gather fp16 e4m3",
    "gate-up-64x64": "gather ahead gather-persistent gather-fp16 gather-persistent-e4m3",
    "gate-up-128x64": "gather gather-ahead gather-persistent-ahead fp16 e4m3",
    "down-16x128": "split2 split4 split2-fp16 e4m3 split2-e4m3",
    "down-32x128": "split2 fp16 e4m3",
    "down-64x128": "ahead persistent split2-persistent fp16 e4m3",
    "down-128x128": "ahead persistent-ahead fp16 e4m3",
    "down-128x256": "ahead",
}


def _variant(tile: Config, words: str) -> Config:
    changes = [WORDS[word] for word in words.split("-")]
    return {**tile, **{name: value for change in changes for name, value in change.items()}}


CONFIGS: dict[str, Config] = TILES | {
    f"{tile}-{words}": _variant(TILES[tile], words)
    for tile, variants in VARIANTS.items()
    for words in variants.split()
}

SHAPES: dict[str, GroupedGemmShape] = {
    "usual": GroupedGemmShape(rows=(23, 0, 40, 1), depth=256, columns=256, blocks=3),
    "one-step": GroupedGemmShape(rows=(0, 1, 18), depth=64, columns=256, blocks=3),
    "one-wide-step": GroupedGemmShape(rows=(1,), depth=128, columns=256, blocks=3),
    "no-rows": GroupedGemmShape(rows=(0, 0), depth=128, columns=256, blocks=2),
    "uneven-splits": GroupedGemmShape(rows=(3,), depth=320, columns=256, blocks=2),
    "tails": GroupedGemmShape(rows=(65, 0, 31), depth=384, columns=512, blocks=5),
    "many-experts": GroupedGemmShape(
        rows=(0, 2, 1, 0, *[0] * 26, 1, 3, 0, 17, 1, 1, 0, 2, 5, 0),
        depth=128,
        columns=256,
        blocks=7,
    ),
}

STAGE_BYTES = "(BM + (1 + FUSE_SWIGLU) * BN) * BK * (1 if DTYPE == 2 else 2)"

GROUPED_GEMM = Kernel(
    name="grouped-gemm",
    does="the experts' matrices on tensor cores: gate, up and SwiGLU in one, or down",
    source="grouped_gemm.cu",
    entry="grouped_gemm",
    headers=("primitives.cuh",),
    parameters={
        "BM": (16, 32, 64, 128, 256),
        "BN": (32, 64, 128, 256),
        "BK": (16, 32, 64, 128),
        "WARPS_M": (1, 2, 4, 8),
        "WARPS_N": (1, 2, 4, 8),
        "STAGES": (2, 3, 4, 5, 6),
        "FRAGMENTS": (1, 2),
        "DTYPE": (0, 1, 2),
        "FUSE_SWIGLU": (0, 1),
        "GATHER": (0, 1),
        "SPLIT_K": (1, 2, 4, 8),
        "PERSISTENT": (0, 1),
    },
    constraints=(
        Constraint("BM % (16 * WARPS_M) == 0", "a warp takes whole 16-row tiles of the mma"),
        Constraint("BN % (16 * WARPS_N) == 0", "a warp takes pairs of 8-column tiles of the mma"),
        Constraint("BK >= (32 if DTYPE == 2 else 16)", "an mma takes 32 of the depth of e4m3"),
        Constraint(
            "BM * BK * (1 if DTYPE == 2 else 2) % (512 * WARPS_M * WARPS_N) == 0",
            "every thread copies equally many 16-byte pieces of the tokens",
        ),
        Constraint(
            "BN * BK * (1 if DTYPE == 2 else 2) % (512 * WARPS_M * WARPS_N) == 0",
            "every thread copies equally many 16-byte pieces of the weights",
        ),
        Constraint("FRAGMENTS == 1 or BK >= (64 if DTYPE == 2 else 32)", "two sets take turns"),
        Constraint("32 * WARPS_M * WARPS_N <= 1024", "a block has at most 1024 threads"),
        Constraint(
            "DTYPE != 2 or ARCH == 89 or ARCH == 120",
            "how mma.sync rounds fp8 is known for sm_89 and sm_120 only",
        ),
        Constraint(
            f"STAGES * {STAGE_BYTES} <= "
            "(101376 if ARCH in (86, 89, 120) else 166912 if ARCH == 80 else 232448)",
            "the stages fit the shared memory of a block",
        ),
        Constraint("columns % BN == 0", "column tiles have no tail"),
        Constraint("depth % BK == 0", "the depth is read in whole tiles"),
        Constraint("depth >= BK * SPLIT_K", "every split has something to add"),
    ),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    shapes=SHAPES,
    problem=problem,
)
