"""Counts: what a block of the grouped GEMM does for each step of its depth and for each tile.

Two ways: counted by the executor (`of_profiles`), or in closed form from the configuration alone
(`closed`), so that configurations can be ranked before one is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..compiled.arches import arch
from ..compiled.gate import blocks_on_sm
from ..compiled.profile import Profile

Array = NDArray[np.float64]
FREE: tuple[str, ...] = (
    "BM",
    "BN",
    "BK",
    "WARPS_M",
    "WARPS_N",
    "STAGES",
    "FRAGMENTS",
    "SPLIT_K",
    "PERSISTENT",
)
"""The macros of the grouped GEMM that a search is free in."""
MACROS: tuple[str, ...] = (*FREE, "DTYPE", "FUSE_SWIGLU", "GATHER")
REGISTERS_AT_MOST = 255
SECTOR_BYTES = 32


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Columns `[configs]`.

    macros: by name. step_*: of a block for BK of its depth: mma.sync, warp instructions of all
    kinds, wavefronts of shared memory, sectors of 32 bytes asked of global memory.
    tile_instructions: for each tile beside its steps. blocks: resident on an SM. spilled_bytes and
    local_bytes: of a thread, in memory instead of in registers.
    """

    macros: dict[str, Array]
    warps: Array
    blocks: Array
    spilled_bytes: Array
    local_bytes: Array
    step_mma: Array
    step_instructions: Array
    step_wavefronts: Array
    step_sectors: Array
    tile_instructions: Array

    def take(self, rows: Any) -> Counts:
        """The same of some of the configurations."""
        return Counts(
            macros={name: column[rows] for name, column in self.macros.items()},
            **{
                name: getattr(self, name)[rows]
                for name in self.__struct_fields__
                if name != "macros"
            },
        )


def macros_of(configs: Sequence[Mapping[str, int]]) -> dict[str, Array]:
    return {name: np.array([one[name] for one in configs], float) for name in MACROS}


def of_profiles(configs: Sequence[Mapping[str, int]], profiles: Sequence[Profile]) -> Counts:
    """configs: whole ones, each with all macros. Counted (simulated), resources as compiled; what
    does not fit on an SM counts as one block, so that it has a time as well."""

    def column(read: Any) -> Array:
        return np.array([read(one) for one in profiles], float)

    return Counts(
        macros=macros_of(configs),
        warps=column(lambda p: p.threads / 32),
        blocks=column(lambda p: max(p.blocks, 1)),
        spilled_bytes=column(lambda p: p.spilled_bytes),
        local_bytes=column(lambda p: p.local_bytes),
        step_mma=column(lambda p: p.step.get("mma", 0.0)),
        step_instructions=column(lambda p: p.step["instructions"]),
        step_wavefronts=column(lambda p: p.step["wavefronts"]),
        step_sectors=column(lambda p: p.step["load_sectors"]),
        tile_instructions=column(lambda p: p.tile["instructions"]),
    )


def closed(configs: Sequence[Mapping[str, int]], architecture: str) -> Counts:
    """Without compiling. derived: mma.sync, ldmatrix, wavefronts and sectors follow from the tiles
    and equal what the executor counts. Fitted on 2,119 compiled configurations of sm_90a (least
    squares): instructions for addresses and loops (over the builds of the shipped survey the mean
    error of a step's instructions is 4.2%, of a tile's 9.2%) and registers (standard error 12),
    hence spills and resident blocks (85% of those builds have just as many, 99% within one).
    """
    m = macros_of(configs)
    parts, warps = 1 + m["FUSE_SWIGLU"], m["WARPS_M"] * m["WARPS_N"]
    size = np.where(m["DTYPE"] == 2, 1.0, 2.0)
    row_bytes = m["BK"] * size
    slices = row_bytes / 32
    tiles_m, pairs = m["BM"] / 16 / m["WARPS_M"], m["BN"] / 16 / m["WARPS_N"]
    stage_bytes = (m["BM"] + parts * m["BN"]) * row_bytes
    matrices = warps * slices * (tiles_m + parts * pairs)
    mma = warps * slices * parts * tiles_m * pairs * 2
    in_copies = m["BM"] * row_bytes / 16 / (32 * warps)
    copies = in_copies + parts * m["BN"] * row_bytes / 16 / (32 * warps)
    sums = 8 * parts * tiles_m * pairs
    ahead, walks, split = m["FRAGMENTS"] - 1, m["PERSISTENT"], m["SPLIT_K"] > 1
    fragments = 4 * (tiles_m + parts * pairs)
    wanted = (
        20.4 + 1.37 * sums + fragments * np.where(ahead > 0, 1.8, 0.35) + 1.44 * in_copies
        + 0.28 * (copies - in_copies) - 1.3 * walks + 3.6 * split + 3.6 * slices
        + 0.4 * m["STAGES"]
    )  # fmt: skip
    per_warp = (
        28.5 + 5.26 * in_copies + 2.38 * (copies - in_copies)
        + 1.17 * slices * (tiles_m + parts * pairs) + 0.05 * slices * tiles_m * pairs * parts
        - 9.6 * walks + 2.4 * ahead + 4.45 * walks * copies
    )  # fmt: skip
    per_tile = (
        271 + sums * (3.7 - 2.11 * split + 0.82 * m["FUSE_SWIGLU"]) + 9 * in_copies
        - 119 * walks + 1.91 * m["STAGES"] * copies
    )  # fmt: skip
    registers = np.minimum(np.ceil(wanted / 8) * 8, REGISTERS_AT_MOST)
    return Counts(
        macros=m,
        warps=warps,
        blocks=_blocks(registers, warps, m["STAGES"] * stage_bytes, architecture),
        spilled_bytes=np.maximum(wanted - 1.1 * REGISTERS_AT_MOST, 0) * 4,
        local_bytes=np.zeros_like(warps),
        step_mma=mma,
        step_instructions=mma + matrices + np.maximum(per_warp, 1) * warps,
        step_wavefronts=4 * matrices + stage_bytes / 128,
        step_sectors=stage_bytes / SECTOR_BYTES,
        tile_instructions=np.maximum(per_tile, 1) * warps,
    )


def _blocks(registers: Array, warps: Array, shared: Array, architecture: str) -> Array:
    limits = arch(architecture)
    fitting = [
        min(blocks_on_sm(limits, int(r), int(w), int(s)).values())
        for r, w, s in zip(registers, warps, shared, strict=True)
    ]
    found: Array = np.maximum(np.array(fitting, float), 1.0)
    return found
