"""A matrix product on one systolic array, fed without end or by a memory."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from ....base import Count, Positive, Spec
from ..blocks.linear import loader_program
from ..blocks.systolic import os_program, ws_program
from ..closed_forms import tiles
from ..flat import MOST_STEPS
from ..graph import Fifo, Graph, Loop, Memory, Moved, Port, Process, Program, Step, beat_rate, moved
from ..run import simulate

MOST_LISTED = 2**22
Dataflow = Literal["os", "ws", "is"]


class Gemm(Spec, frozen=True, kw_only=True):
    """[m, k] x [k, n] on `rows` x `columns` elements, a multiply-add each a cycle.

    dataflow: what stays in the array: outputs, weights (the [k, n] operand) or inputs.
    prefetch: the array holds two tiles of weights, and the next one comes while this one is used
    (weight stationary only). bytes_per_cycle: that the memory gives of weights, a byte each; None:
    no operand is ever waited for.
    """

    m: Count
    n: Count
    k: Count
    rows: Count
    columns: Count
    dataflow: Dataflow = "ws"
    prefetch: bool = False
    bytes_per_cycle: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataflow != "ws" and (self.prefetch or self.bytes_per_cycle):
            raise ValueError("`prefetch` and `bytes_per_cycle` go with the dataflow ws")
        if self.bytes_per_cycle is not None and not 1e-3 <= self.bytes_per_cycle <= 1e9:
            raise ValueError("`bytes_per_cycle` must lie between 0.001 and 10^9")
        # A tile's steps are listed one by one, and all tiles are run.
        longest = 2 * self.rows + self.columns + max(self.m, self.n, self.k)
        if longest > MOST_LISTED or self.tiles * longest > MOST_STEPS:
            raise ValueError(
                f"{self.tiles} tiles of up to {longest} cycles are not run: at most {MOST_LISTED} "
                f"a tile and {MOST_STEPS} in all"
            )

    @property
    def tiles(self) -> int:
        """Tiles that pass the array one after the other."""
        fixed = {"os": (self.m, self.n), "ws": (self.k, self.n), "is": (self.k, self.m)}
        tall, wide = fixed[self.dataflow]
        return int(tiles(tall, self.rows) * tiles(wide, self.columns))


class GemmRun(msgspec.Struct, frozen=True):
    """cycles: from the array's first step to its last; stalled: of them, without operands."""

    cycles: int
    stalled: int
    utilization: float


def simulate_gemm(gemm: Gemm) -> GemmRun:
    """The array cycle by cycle. Without a memory its cycles are those of SCALE-Sim, stall-free."""
    run = simulate(graph(gemm))
    array = run.processes["array"]
    work = gemm.m * gemm.n * gemm.k / (gemm.rows * gemm.columns)
    cycles = array.last - array.first
    return GemmRun(cycles, sum(array.stalls.values()), work / max(1, cycles))


def graph(gemm: Gemm) -> Graph:
    """Sources or a memory, the array, a sink."""
    programs = {"array": _array(gemm)}
    if gemm.prefetch:
        load = Loop(gemm.tiles, loader_program(gemm.rows, stream="w", weights="tile"))
        programs["load"] = (load,)
    processes = [Process(name=name, program=program) for name, program in programs.items()]
    reads: Moved = Counter()
    writes: Moved = Counter()
    for process in processes:
        taken, given = moved(process)
        reads.update(taken)
        writes.update(given)
    fifos = [
        Fifo(name=name, depth=2 if name == "tile" else 2 * gemm.rows)
        for name in {**reads, **writes}
    ]
    sinks = [name for name in writes if name not in reads]
    sources = [name for name in reads if name not in writes]
    memories: tuple[Memory, ...] = ()
    if gemm.bytes_per_cycle is not None:
        sources.remove("w")
        fifos.append(Fifo(name="w.ask", depth=2))
        processes.append(
            Process(name="w.read", program=(Step(writes={"w.ask": 1}, times=gemm.tiles),))
        )
        memories = (_memory(gemm, gemm.bytes_per_cycle),)
    for names, side in ((sources, reads), (sinks, writes)):
        for name in names:
            step = Step(writes={name: 1}) if side is reads else Step(reads={name: 1})
            program = (msgspec.structs.replace(step, times=side[name]),)
            processes.append(Process(name=f"{name} end", program=program))
    return Graph(fifos=tuple(fifos), processes=tuple(processes), memories=memories)


def _array(gemm: Gemm) -> Program:
    rows, columns = gemm.rows, gemm.columns
    if gemm.prefetch:
        # derived: tiles follow each other without a gap, only the last one's skew remains.
        beat = {"x": 1}
        tile = (
            Step(reads=beat, peeks={"tile": 1}, times=gemm.m - 1),
            Step(reads=beat | {"tile": 1}),
        )
        return (Loop(gemm.tiles, tile), Step(times=rows + columns - 2))
    if gemm.dataflow == "os":
        return os_program(rows, columns, gemm.k, gemm.tiles, a="a", b="b", sums="sums")
    tall = gemm.m if gemm.dataflow == "ws" else gemm.n
    return ws_program(rows, columns, tall, gemm.tiles, w="w", x="x", sums="sums")


def _memory(gemm: Gemm, bytes_per_cycle: float) -> Memory:
    """Gives a tile of weights a burst, a row a beat."""
    port = Port(name="w", request="w.ask", data="w", bursts=((gemm.rows, gemm.tiles),))
    return Memory(
        name="memory", ports=(port,), cycles_per_beat=beat_rate(gemm.columns / bytes_per_cycle)
    )
