"""How long a grouped GEMM takes on a GPU: blocks in waves over the SMs, against the memory."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ...simulator.gpu import Constants, Machine
from ..library.experts import ExpertsShape
from .counts import SECTOR_BYTES, Array, Counts

PORT_BYTES = 64
"""Bytes a cycle that the last cache gives an SM (as simulator/gpu/machine.py has it)."""
SCHEDULERS = 4
"""Parts of an SM, each with a tensor core and one instruction issued a cycle."""
LIMITERS = (
    "tensor cores",
    "instruction issue",
    "shared memory",
    "cache port",
    "latency",
    "memory",
)

Cycles = Annotated[float, Meta(ge=0.01, le=20_000)]
Share = Annotated[float, Meta(ge=0.05, le=1.2)]
Power = Annotated[float, Meta(ge=1, le=12)]
Seconds = Annotated[float, Meta(ge=1e-9, le=1e-4)]


class GroupedConstants(Constants, frozen=True, kw_only=True, tag="own-grouped-gemm"):
    """What cannot be read off a build or a data sheet.

    Cycles: mma of one m16n8k16 on a tensor core; issue of a warp instruction; wavefront of shared
    memory; copy, from the memory into a stage; barrier, of each step; slice_alone,
    of each 32 bytes of a step's depth, for which a warp waits unless it loads ahead (FRAGMENTS 2);
    chain, of one mma in its warp; start of a block; turn of a block that walks (PERSISTENT);
    spilled, of a spilled byte of 32 warps, local the same of arrays in memory.
    Shares: port of the cache's port; memory of the bandwidth, of rows in pieces of 64 (FRAGMENTS 1
    and 2), 128 and 256 bytes; idle of an unfilled last wave that is lost.
    Powers join times that overlap in part (1: none, large: all). split_s: of the kernel that adds
    up the splits, beside its bytes; the first kernel's launch hides in a graph.
    """

    mma: Cycles
    issue: Cycles
    wavefront: Cycles
    copy: Cycles
    barrier: Cycles
    slice_alone: Cycles
    chain: Cycles
    start: Cycles
    turn: Cycles
    spilled: Cycles
    local: Cycles
    port: Share
    memory_64_alone: Share
    memory_64_ahead: Share
    memory_128: Share
    memory_256: Share
    idle: Share
    queues: Power
    warps: Power
    memory: Power
    split_s: Seconds


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """Columns `[configs]`, simulated. shares: of LIMITERS, the time of each alone over the whole,
    `[configs, LIMITERS]`."""

    seconds: Array
    shares: Array


def predict(
    counts: Counts, shape: ExpertsShape, machine: Machine, c: GroupedConstants
) -> Predicted:
    """The seconds of one launch, and of the sum over the splits where there are any.

    derived: a step of a block takes the longest of what an SM gives all its blocks together (tensor
    cores, issue, shared memory, port), and of its own chain of waits over the blocks that hide it.
    Blocks run in waves; the whole takes the longer of all waves and of moving the bytes.
    """
    m = counts.macros
    units, clock = float(machine.units), float(machine.clock_hz)
    rows = np.asarray(shape.rows)
    row_tiles = (-(-rows[None, :] // m["BM"][:, None].astype(int))).sum(axis=1)
    tiles = row_tiles * (shape.columns / m["BN"]) * m["SPLIT_K"]
    steps = shape.depth / m["BK"] / m["SPLIT_K"]
    per_unit = np.ceil(tiles / units)
    resident = np.minimum(counts.blocks, np.maximum(per_unit, 1))

    row_bytes = m["BK"] * np.where(m["DTYPE"] == 2, 1, 2)
    ahead = m["FRAGMENTS"] > 1
    queues = np.stack(
        [
            mma_cycles(machine, c) * counts.step_mma / SCHEDULERS,
            c.issue * counts.step_instructions / SCHEDULERS,
            c.wavefront * counts.step_wavefronts,
            counts.step_sectors * SECTOR_BYTES / (PORT_BYTES * c.port),
        ]
    )
    in_memory = (c.spilled * counts.spilled_bytes + c.local * counts.local_bytes) * counts.warps
    busy = _joined(queues, c.queues) + in_memory / 32
    alone = (
        c.copy / (m["STAGES"] - 1)
        + c.barrier
        + row_bytes / 32 * np.where(ahead, 0.0, c.slice_alone)
        + c.chain * counts.step_mma / counts.warps
    ) / resident
    step = _joined(np.stack([busy, alone]), c.warps)
    edge = np.where(m["PERSISTENT"] > 0, c.turn, c.start) / resident
    waves = tiles / units + c.idle * (per_unit - tiles / units)
    to_seconds = waves / clock
    compute_s = (step * steps + edge) * to_seconds

    memory_s = moved_bytes(counts, shape) / (
        float(machine.bandwidth_bytes_per_s) * _memory_share(row_bytes, ahead, c)
    )
    whole_s = _joined(np.stack([compute_s, memory_s]), c.memory)
    seconds = whole_s + c.split_s * (m["SPLIT_K"] > 1)
    own_s = (alone * steps + edge) * to_seconds
    each_s = np.vstack([queues * steps * to_seconds, own_s, memory_s])
    return Predicted(seconds=seconds, shares=(each_s / seconds).T)


def moved_bytes(counts: Counts, shape: ExpertsShape) -> Array:
    """Of the memory: the weights of the experts that have a row, rows in and out, and the sums of
    splits, written and read (16-bit numbers, 32-bit sums)."""
    m, rows = counts.macros, sum(shape.rows)
    parts = 1 + m["FUSE_SWIGLU"]
    busy = sum(one > 0 for one in shape.rows)
    weights = 2.0 * busy * parts * shape.columns * shape.depth
    splits = np.where(m["SPLIT_K"] > 1, m["SPLIT_K"], 0)
    moved: Array = (
        weights
        + 2.0 * rows * (shape.columns + shape.depth)
        + splits * parts * 8.0 * rows * shape.columns
    )
    return moved


def mma_cycles(machine: Machine, c: GroupedConstants) -> float:
    """Of an m16n8k16, whose 2,048 multiply-adds a tensor core with the rate of the data sheet does
    in so many cycles, and never less than on the GPU of the constants."""
    sheet = 2 * 2048 * SCHEDULERS * float(machine.units) * float(machine.clock_hz)
    return max(c.mma, sheet / float(machine.peak_flops_per_s))


def _memory_share(row_bytes: Array, ahead: Any, c: GroupedConstants) -> Array:
    """Reading rows in short pieces opens the memory's pages more often."""
    short = np.where(ahead, c.memory_64_ahead, c.memory_64_alone)
    share: Array = np.where(
        row_bytes <= 64, short, np.where(row_bytes <= 128, c.memory_128, c.memory_256)
    )
    return share


def _joined(times: Array, power: float) -> Array:
    """Times that overlap: the longest where the power is large, their sum where it is 1."""
    longest = times.max(axis=0)
    joined: Array = longest * ((times / longest) ** power).sum(axis=0) ** (1 / power)
    return joined
