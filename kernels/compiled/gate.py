"""The static gate: what cannot be launched, why, and how full an SM gets with what can."""

from __future__ import annotations

import msgspec

from .arches import KIBIBYTE, Arch, arch
from .build import Build

RESERVED_BYTES = KIBIBYTE
"""Shared memory that the system takes of each block (CUDA Programming Guide, compute 8.0 on)."""
REGISTERS_PER_ALLOCATION = 256
"""A warp's registers are given out in this many at a time (CUDA occupancy calculator)."""
WARPS_PER_ALLOCATION = 4
"""A warp's registers come from one of the SM's four parts (same source)."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """refusals: why it cannot be launched, nothing when it can. warnings: why it may be slow; a
    registered configuration has none.

    blocks: resident on one SM, held by `limiter`; occupancy: resident warps over the most possible.
    """

    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    blocks: int
    occupancy: float
    limiter: str

    @property
    def launchable(self) -> bool:
        return not self.refusals


def gate(build: Build) -> Verdict:
    """The verdict on a build, from its resources and the limits of its architecture."""
    limits = arch(build.arch)
    refusals = tuple(_refusals(build, limits))
    room = resident_blocks(build, limits)
    limiter = min(room, key=lambda name: room[name])
    blocks = 0 if refusals else room[limiter]
    return Verdict(
        refusals=refusals,
        warnings=tuple(_warnings(build)),
        blocks=blocks,
        occupancy=blocks * _warps(build) / limits.warps,
        limiter=limiter,
    )


def resident_blocks(build: Build, limits: Arch) -> dict[str, int]:
    """Blocks of a build that fit on one SM by each limit."""
    return blocks_on_sm(limits, build.resources.registers, _warps(build), build.shared_bytes)


def blocks_on_sm(limits: Arch, registers: int, warps: int, shared_bytes: int) -> dict[str, int]:
    """Blocks that fit on one SM by each limit (CUDA occupancy calculator). registers: of a thread;
    warps and shared_bytes of a block."""
    warp_registers = _rounded(registers * 32, REGISTERS_PER_ALLOCATION)
    per_part = limits.registers // WARPS_PER_ALLOCATION // warp_registers
    return {
        "shared memory": limits.shared_bytes // (shared_bytes + RESERVED_BYTES),
        "registers": per_part * WARPS_PER_ALLOCATION // warps,
        "warps": limits.warps // warps,
        "blocks": limits.blocks,
    }


def _refusals(build: Build, limits: Arch) -> list[str]:
    reasons = []
    if build.shared_bytes > limits.shared_block_bytes:
        reasons.append(
            f"a block wants {build.shared_bytes} bytes of shared memory; {build.arch} gives it "
            f"{limits.shared_block_bytes}"
        )
    if build.threads > limits.threads_per_block:
        reasons.append(
            f"a block wants {build.threads} threads; it may have {limits.threads_per_block}"
        )
    if resident_blocks(build, limits)["registers"] < 1:
        reasons.append(
            f"{build.threads} threads of {build.resources.registers} registers want more than the "
            f"{limits.registers} of an SM"
        )
    return reasons


def _warnings(build: Build) -> list[str]:
    """Stack beyond what is spilled holds arrays whose places the compiler could not tell."""
    spilled, stack = build.resources.spilled_bytes, build.resources.stack_bytes
    reasons = []
    if spilled:
        reasons.append(
            f"{spilled} bytes of registers of each thread are spilled to memory and read back"
        )
    elif stack:
        reasons.append(f"{stack} bytes of each thread's arrays lie in memory, not in registers")
    return reasons


def _warps(build: Build) -> int:
    return -(-build.threads // 32)


def _rounded(number: int, step: int) -> int:
    return -(-number // step) * step
