"""Softmax in one pass over the scores (Edge-MoE): programs of its two processes, and the block with
sources and sinks. A row's scores wait in `kept` until its maximum and sum are in `stats`."""

from __future__ import annotations

from ..golden import OnlineSoftmax
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends


def scan_program(rows: int, width: int, interval: int, *, x: str, kept: str, stats: str) -> Program:
    """A score every `interval` cycles; a row's last one completes its maximum and sum."""
    score = Step(reads={x: 1}, writes={kept: 1}, interval=interval, times=width - 1)
    last = Step(reads={x: 1}, writes={kept: 1, stats: 1}, interval=interval)
    return (Loop(rows, (score, last)),)


def norm_program(
    rows: int, width: int, interval: int, *, kept: str, stats: str, out: str
) -> Program:
    """A share every `interval` cycles; a row's first one takes its maximum and sum."""
    first = Step(reads={kept: 1, stats: 1}, writes={out: 1}, interval=interval)
    rest = Step(reads={kept: 1}, writes={out: 1}, interval=interval, times=width - 1)
    return (Loop(rows, (first, rest)),)


def online_softmax(block: OnlineSoftmax, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it."""
    size = (block.rows, block.width)
    scan = scan_program(*size, block.scan_interval, x="x", kept="kept", stats="stats")
    norm = norm_program(*size, block.norm_interval, kept="kept", stats="stats", out="y")
    processes = (
        Process(name="scan", program=scan, latency=block.scan_latency),
        Process(name="norm", program=norm, latency=block.norm_latency),
    )
    fifos = tuple(
        Fifo(name=name, depth=block.depths[name], bits=64 if name == "stats" else 32)
        for name in block.fifos
    )
    return with_ends(fifos, processes, block.sources, block.sinks, open_ or {})
