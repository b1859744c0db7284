"""Profile: what a block of a build does for a tile and for a step of its depth, counted."""

from __future__ import annotations

import msgspec

from ..library import Kernel
from ..library.grouped_gemm import GroupedGemmShape, zeros
from .build import Build
from .execute import execute
from .gate import gate

STEPS = (8, 12)
"""Two depths, in steps of BK, past the first filling of up to six stages. Loops are regular: what
is counted grows by the same number with each step, so that two depths tell all."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Of one block. step: for each step of the depth, tile: for each tile beside its steps; warp
    instructions by class, `wavefronts` of shared memory and `sectors` of 32 bytes of global memory
    (simulated). blocks: resident on an SM, held by `limiter`. Of a thread (compiler's report):
    registers, those spilled, and local_bytes of arrays that lie in memory instead."""

    threads: int
    registers: int
    spilled_bytes: int
    local_bytes: int
    shared_bytes: int
    blocks: int
    limiter: str
    step: dict[str, float]
    tile: dict[str, float]


def profile(kernel: Kernel, build: Build) -> Profile:
    """Executes one full tile of the grouped GEMM at two depths. Raises BadInput where the executor
    does not know the PTX."""
    few, more = (_counts(kernel, build, steps) for steps in STEPS)
    step = {name: (more[name] - few[name]) / (STEPS[1] - STEPS[0]) for name in few}
    tile = {name: few[name] - STEPS[0] * step[name] for name in few}
    verdict, used = gate(build), build.resources
    return Profile(
        threads=build.threads,
        registers=used.registers,
        spilled_bytes=used.spilled_bytes,
        local_bytes=0 if used.spilled_bytes else used.stack_bytes,
        shared_bytes=build.shared_bytes,
        blocks=verdict.blocks,
        limiter=verdict.limiter,
        step=step,
        tile=tile,
    )


def _counts(kernel: Kernel, build: Build, steps: int) -> dict[str, float]:
    """Of one tile, a split of its depth being a tile of its own."""
    config = build.config
    shape = GroupedGemmShape(
        rows=(config["BM"],),
        depth=steps * config["SPLIT_K"] * config["BK"],
        columns=config["BN"],
        blocks=1,
    )
    counters = execute(build, kernel.launch(config, shape), zeros(config, shape)).counters
    counted = {
        **counters.mix,
        "wavefronts": counters.shared_wavefronts,
        "load_sectors": counters.global_load_sectors,
        "store_sectors": counters.global_store_sectors,
        "instructions": counters.instructions,
    }
    return {name: number / config["SPLIT_K"] for name, number in counted.items()}
