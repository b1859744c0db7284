"""Tiles of weights through a shared memory into a double buffer: the program of their use, and the
block with sources and sinks."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..golden import BurstLoader, Streams
from ..graph import Fifo, Graph, Loop, Memory, Port, Process, Program, Step
from .ends import Open, with_ends
from .linear import loader_program


def use_program(tiles: int, beats: int, uses: int, *, weights: str, out: str) -> Program:
    """A tile's beats, one a cycle, `uses` times over; its last beat frees its half."""
    beat = Step(peeks={weights: 1}, writes={out: 1}, times=beats * uses - 1)
    return (Loop(tiles, (beat, Step(reads={weights: 1}, writes={out: 1}))),)


def bursts(sizes: NDArray[np.uint32]) -> tuple[tuple[int, int], ...]:
    """Bursts of these sizes in order, as (beats, times)."""
    return tuple((beats, len(list(same))) for beats, same in groupby(sizes.ravel().tolist()))


def burst_loader(block: BurstLoader, inputs: Streams, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it."""
    fill = loader_program(block.tile, stream="fetched", weights="tiles")
    use = use_program(block.fetches, block.tile, block.uses, weights="tiles", out="out")
    processes = (
        Process(name="fill", program=(Loop(block.fetches, fill),)),
        Process(name="use", program=use, latency=block.out_latency),
    )
    memory = Memory(
        name="memory",
        ports=(
            Port(name="fetch", request="fetch", data="fetched", bursts=bursts(inputs["fetch"])),
            Port(name="read", request="read", data="read data", bursts=bursts(inputs["read"])),
            Port(
                name="write", request="write", data="written", writes=True, done="done",
                bursts=bursts(inputs["write"]),
            ),
        ),
        cycles_per_beat=(block.num, block.den),
        latency=block.memory_latency,
    )  # fmt: skip
    depths = {**block.depths, **dict.fromkeys(inputs.keys() - {"written"}, block.depths["request"])}
    fifos = tuple(
        Fifo(name=name, depth=depth, bits=32 * (block.tile if name == "tiles" else 1))
        for name, depth in depths.items()
        if name != "request"
    )
    return with_ends(fifos, processes, block.sources, block.sinks, open_ or {}, (memory,))
