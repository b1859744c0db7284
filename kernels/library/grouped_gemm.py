"""The grouped GEMM of the experts: gate and up with SwiGLU in one kernel, and down."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .kernel import Config, Constraint, Kernel, Launch


class GroupedGemmShape(msgspec.Struct, frozen=True):
    """rows: the number of tokens of each expert. depth: the inner dimension (hidden size for gate
    and up, expert width for down). columns: of the output."""

    rows: tuple[int, ...]
    depth: int
    columns: int

    def __post_init__(self) -> None:
        if not self.rows or min(self.rows) < 0 or self.depth < 1 or self.columns < 1:
            raise BadInput("needs at least one expert, no negative rows, and positive sizes")

    def row_starts(self) -> NDArray[np.int32]:
        """First row of each expert, then the number of rows: `[experts + 1]`."""
        return np.concatenate([[0], np.cumsum(self.rows)]).astype(np.int32)

    def tile_starts(self, config: Config) -> NDArray[np.int32]:
        """First row tile of each expert, then the number of tiles: `[experts + 1]`."""
        tiles = -(-np.asarray(self.rows) // config["BM"])
        return np.concatenate([[0], np.cumsum(tiles)]).astype(np.int32)


def start(config: Config, shape: GroupedGemmShape | None) -> Launch:
    parts = 1 + config["FUSE_SWIGLU"]
    stage = (config["BM"] + parts * config["BN"]) * config["BK"] * 2
    grid = (1, 1, 1)
    if shape is not None:
        tiles = int(shape.tile_starts(config)[-1])
        grid = (shape.columns // config["BN"], max(tiles, 1), 1)
    return Launch(
        grid=grid,
        threads=32 * config["WARPS_M"] * config["WARPS_N"],
        shared_bytes=config["STAGES"] * stage,
    )


def sizes(shape: GroupedGemmShape) -> dict[str, int]:
    return {"depth": shape.depth, "columns": shape.columns, "rows": sum(shape.rows)}


def reference(
    inputs: NDArray[np.float64],
    weights: NDArray[np.float64],
    row_starts: NDArray[np.int32],
    fuse_swiglu: bool,
) -> NDArray[np.float64]:
    """inputs `[rows, depth]`, weights `[experts, parts * columns, depth]` -> `[rows, columns]`.

    SwiGLU: silu(gate) * up with silu(x) = x / (1 + exp(-x)) (Shazeer, arXiv 2002.05202).
    """
    out = []
    for expert, matrix in enumerate(weights):
        product = inputs[row_starts[expert] : row_starts[expert + 1]] @ matrix.T
        if fuse_swiglu:
            gate, up = np.split(product, 2, axis=1)
            product = gate / (1 + np.exp(-gate)) * up
        out.append(product)
    return np.concatenate(out)


def _config(bm: int, bn: int, bk: int, warps: tuple[int, int], stages: int, fuse: int) -> Config:
    return {
        "BM": bm,
        "BN": bn,
        "BK": bk,
        "WARPS_M": warps[0],
        "WARPS_N": warps[1],
        "STAGES": stages,
        "FUSE_SWIGLU": fuse,
    }


# Small BM for decode, where an expert meets a few tokens; large tiles for prefill. Four stages
# where the loop is short of work to hide the memory behind.
CONFIGS: dict[str, Config] = {
    "gate-up-16x64": _config(16, 64, 64, (1, 4), 4, 1),
    "gate-up-16x128": _config(16, 128, 128, (1, 4), 2, 1),
    "gate-up-32x64": _config(32, 64, 64, (1, 4), 4, 1),
    "gate-up-64x64": _config(64, 64, 64, (2, 2), 4, 1),
    "gate-up-128x64": _config(128, 64, 64, (4, 2), 3, 1),
    "down-16x128": _config(16, 128, 64, (1, 4), 4, 0),
    "down-32x128": _config(32, 128, 64, (1, 4), 4, 0),
    "down-64x128": _config(64, 128, 64, (2, 2), 3, 0),
    "down-128x128": _config(128, 128, 64, (2, 4), 3, 0),
    "down-128x256": _config(128, 256, 32, (2, 4), 4, 0),
}

GROUPED_GEMM = Kernel(
    name="grouped-gemm",
    does="the experts' matrices on sorted tokens: gate, up and SwiGLU in one, or down (bf16)",
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
        "FUSE_SWIGLU": (0, 1),
    },
    constraints=(
        Constraint("BM % (16 * WARPS_M) == 0", "a warp takes whole 16-row tiles of the mma"),
        Constraint("BN % (16 * WARPS_N) == 0", "a warp takes pairs of 8-column tiles of the mma"),
        Constraint(
            "BM * BK % (256 * WARPS_M * WARPS_N) == 0",
            "every thread copies equally many 16-byte pieces of the tokens",
        ),
        Constraint(
            "BN * BK % (256 * WARPS_M * WARPS_N) == 0",
            "every thread copies equally many 16-byte pieces of the weights",
        ),
        Constraint("32 * WARPS_M * WARPS_N <= 1024", "a block has at most 1024 threads"),
        Constraint("columns % BN == 0", "column tiles have no tail"),
        Constraint("depth % BK == 0", "the depth is read in whole tiles"),
    ),
    configs=CONFIGS,
    start=start,
    sizes=sizes,
    reference=reference,
)
