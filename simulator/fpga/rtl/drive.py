"""Runs a block's Verilog: sources offer and sinks take in the cycles that their patterns open."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....base import BadInput
from ..golden.block import Block, Streams

PERIOD = 1024
"""Cycles after which the patterns of sources and sinks repeat."""

PATIENCE = PERIOD + 256
"""A run ends when nothing moved, inside or at the ends, for so many cycles, whether or not all
tokens have come. Then none will: whoever waits by itself waits for a pattern, each of which has
opened, or for a latency or an interval, of which none is above 64 cycles."""

LIMIT_S = 600.0


class Job(msgspec.Struct, frozen=True):
    """A block, its inputs, the length of its outputs, and when its ends are open, `[PERIOD]` bool:
    sinks take what comes beyond that length too."""

    block: Block
    inputs: Streams
    expected: Mapping[str, int]
    open: Mapping[str, NDArray[np.bool_]]


class Trace(msgspec.Struct, frozen=True):
    """The cycle in which each token moved, by source and sink, and what came out. stuck: something
    never moved. cycles: simulated, the quiet ones at the end with them."""

    cycles: int
    stuck: bool
    moved: dict[str, NDArray[np.uint32]]
    outputs: Streams


def drive(executable: Path, jobs: Sequence[Job]) -> list[Trace]:
    """One process for all jobs, which are of one block."""
    (top,) = {job.block.top for job in jobs}
    data = b"".join(_packed(job) for job in jobs)
    try:
        done = subprocess.run([executable, top], input=data, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise BadInput(f"took more than {LIMIT_S:g} s", file=executable) from None
    except OSError as fault:
        raise BadInput(
            f"cannot be run ({fault.strerror}): remove it, or set MOESAIC_CACHE", file=executable
        ) from None
    if done.returncode:
        raise BadInput(f"ended with status {done.returncode}", file=executable)
    words = np.frombuffer(done.stdout, dtype="<u4").astype(np.uint32)
    traces, at = [], 0
    for job in jobs:
        trace, at = _unpacked(job.block, words, at)
        traces.append(trace)
    return traces


def _packed(job: Job) -> bytes:
    """Head, cfg, then the sources and the sinks: tokens, pattern, data."""
    block = job.block
    cfg = np.array(block.cfg(), dtype="<u2")
    cfg = np.pad(cfg, (0, len(cfg) % 2)).view("<u4")
    head = [
        *(len(block.sources), len(block.sinks), block.in_words, block.out_words),
        *(len(cfg), PATIENCE, PERIOD // 32),
    ]
    parts: list[ArrayLike] = [head, cfg]
    for name in block.sources:
        parts += [[len(job.inputs[name])], _bits(job.open[name]), job.inputs[name]]
    for name in block.sinks:
        parts += [[job.expected[name]], _bits(job.open[name])]
    return b"".join(np.asarray(part, dtype="<u4").tobytes() for part in parts)


def _bits(open_: NDArray[np.bool_]) -> NDArray[np.uint32]:
    return np.packbits(open_, bitorder="little").view("<u4")


def _unpacked(block: Block, words: NDArray[np.uint32], at: int) -> tuple[Trace, int]:
    cycles, stuck = words[at : at + 2].tolist()
    at += 2
    moved: dict[str, NDArray[np.uint32]] = {}
    outputs: Streams = {}
    for name in (*block.sources, *block.sinks):
        tokens = int(words[at])
        moved[name] = words[at + 1 : at + 1 + tokens]
        at += 1 + tokens
        if name in block.sinks:
            size = tokens * block.out_words
            outputs[name] = words[at : at + size].reshape(-1, block.out_words)
            at += size
    return Trace(cycles, bool(stuck), moved, outputs), at
