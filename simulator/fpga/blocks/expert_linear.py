"""The linear kernel on the queues of experts, with sources and sinks: rows and routes are kept
first, then every expert with tokens is dealt, computed and written in turn."""

from __future__ import annotations

from ..golden import ExpertLinear, Streams
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends
from .linear import Tiling, compute_program, dealer_program, loader_program, writer_program

LANES = 4


def expert_linear(block: ExpertLinear, inputs: Streams, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it, with the queues that its routes give."""
    ins = tuple(f"in {unit}" for unit in range(block.units))
    outs = tuple(f"out {unit}" for unit in range(block.units))
    tiling = _tiling(block)
    fill = (
        Step(reads={"x": 1}, times=block.tokens * tiling.beats_in),
        Step(reads={"routes": 1}, times=block.tokens * block.top_k),
    )
    deal: Program = ()
    compute: Program = ()
    write: Program = ()
    queues = [len(queue) for queue in block.queues(inputs) if len(queue)]
    for rows in queues:
        deal += dealer_program(rows, tiling, x=None, units=ins, orders="orders", group="groups")
        compute += compute_program(
            rows, tiling, units=ins, outs=outs, group="groups", weights="weights"
        )
        write += writer_program(rows, tiling, outs=outs, orders="orders", out="y")
    matrix = loader_program(tiling.beats_in * tiling.outputs, stream="w", weights="weights")
    processes = (
        Process(name="dealer", program=fill + deal, latency=block.dealer_latency),
        Process(name="loader", program=(Loop(len(queues), matrix),)),
        Process(name="compute", program=compute, latency=block.compute_latency),
        Process(name="writer", program=write, latency=block.writer_latency),
    )
    fifos = _fifos(block, tiling, {"in": ins, "out": outs})
    return with_ends(fifos, processes, block.sources, block.sinks, open_ or {})


def _tiling(block: ExpertLinear) -> Tiling:
    tin, tout = block.reads * LANES, block.out_beats * LANES
    return Tiling(
        inputs=block.in_tiles * tin,
        outputs=block.out_tiles * tout,
        tin=tin,
        tout=tout,
        lanes=LANES,
        chunk=LANES,
    )


def _fifos(
    block: ExpertLinear, tiling: Tiling, each: dict[str, tuple[str, ...]]
) -> tuple[Fifo, ...]:
    """`each`: the FIFOs of the units, by what the block calls them."""
    bits = {"orders": 9, "groups": 1, "y": 32 * LANES, "out": 32 * tiling.tout}
    bits["weights"] = 8 * tiling.inputs * tiling.outputs
    return tuple(
        Fifo(name=one, depth=block.depths[name], bits=bits.get(name, 32))
        for name in block.fifos
        for one in each.get(name, (name,))
    )
