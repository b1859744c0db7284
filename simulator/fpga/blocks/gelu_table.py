"""GELU by a table of few read ports: the program of its process, and the block with sources and
sinks."""

from __future__ import annotations

from ..golden import GeluTable
from ..golden.gelu_table import LANES
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends
from .linear import runs


def gelu_program(beats: int, lanes: int, ports: int, *, x: str, y: str) -> Program:
    """A beat of `lanes` numbers takes lanes / ports cycles: read in the first, written in the
    last."""
    last = -(-lanes // ports) - 1
    cycles = (
        Step(reads={x: 1} if cycle == 0 else {}, writes={y: 1} if cycle == last else {})
        for cycle in range(last + 1)
    )
    return (Loop(beats, runs(cycles)),)


def gelu_table(block: GeluTable, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it."""
    program = gelu_program(block.beats, LANES, block.ports, x="x", y="y")
    fifos = tuple(Fifo(name=name, depth=block.depths[name], bits=64) for name in block.fifos)
    processes = (Process(name="gelu", program=program, latency=block.latency),)
    return with_ends(fifos, processes, block.sources, block.sinks, open_ or {})
