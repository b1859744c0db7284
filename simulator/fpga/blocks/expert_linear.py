"""The reusable linear kernel (UbiMoE): programs of its processes, and the block with sources and
sinks.

One matrix multiplies the rows of `groups` groups of `units` rows; the last group may be padded. A
tile of weights takes `reads` beats of each unit's row; a row has `in_tiles` of them and gives
`out_tiles` tiles of `out_beats` beats. A dense layer is one matrix with every row in its queue.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..golden import ExpertLinear, Streams
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends


def groups_of(rows: int, units: int) -> int:
    """Groups that hold `rows`, the last one padded."""
    return -(-rows // units)


def fill_program(beats: int, stream: str) -> Program:
    """Keeps a stream, a token a cycle."""
    return (Step(reads={stream: 1}, times=beats),)


def dealer_program(
    groups: int, beats: int, *, units: Sequence[str], orders: str, group: str
) -> Program:
    """Deals one matrix's queue: unit by unit a row, a beat a cycle. A row's first beat writes its
    order, a group's first beat its `group` token."""

    def row(unit: str, first: bool) -> Program:
        begins = {unit: 1, orders: 1} | ({group: 1} if first else {})
        return Step(writes=begins), Step(writes={unit: 1}, times=beats - 1)

    rows = tuple(step for n, unit in enumerate(units) for step in row(unit, n == 0))
    return (Loop(groups, rows),)


def loader_program(beats: int, *, stream: str, weights: str) -> Program:
    """Fills a half of the double buffer `weights`, a beat a cycle."""
    return (
        Step(reads={stream: 1}, reserves={weights: 1}, times=beats - 1),
        Step(reads={stream: 1}, writes={weights: 1}),
    )


def compute_program(
    groups: int,
    in_tiles: int,
    out_tiles: int,
    reads: int,
    *,
    units: Sequence[str],
    outs: Sequence[str],
    group: str,
    weights: str,
) -> Program:
    """All units on one tile of weights a cycle. The first row of tiles takes the rows from the
    units' FIFOs, the last tile of each row of tiles gives a token to every `outs` FIFO. The
    weights are peeked at throughout and released by the last tile of all."""
    taken, given = dict.fromkeys(units, reads), dict.fromkeys(outs, 1)

    def tile_row(first: bool, releases: bool = False) -> Program:
        """Runs of equal tiles: [the first,] the middle ones, the last."""
        inputs = taken if first else {}
        begins = inputs | ({group: 1} if first else {})
        hold = {weights: 1}
        ends = begins if in_tiles == 1 else inputs
        last = (
            Step(reads=ends | hold, writes=given)
            if releases
            else Step(reads=ends, peeks=hold, writes=given)
        )
        if in_tiles == 1:
            return (last,)
        return (
            Step(reads=begins, peeks=hold),
            Step(reads=inputs, peeks=hold, times=in_tiles - 2),
            last,
        )

    if out_tiles == 1:
        return Loop(groups - 1, tile_row(True)), *tile_row(True, releases=True)
    others = Loop(out_tiles - 2, tile_row(False))
    return (
        Loop(groups - 1, (*tile_row(True), others, *tile_row(False))),
        *(*tile_row(True), others, *tile_row(False, releases=True)),
    )


def writer_program(
    rows: int, out_tiles: int, out_beats: int, *, outs: Sequence[str], orders: str, out: str
) -> Program:
    """Collects one matrix's results: group by group, unit by unit, tile by tile, a beat a cycle.
    Those of padding are dropped, in the same cycles."""

    def row(unit: str, writes: dict[str, int]) -> Program:
        rest = Step(writes=writes, times=out_beats - 1)
        return (
            *(Step(reads={unit: 1, orders: 1}, writes=writes), rest),
            Loop(out_tiles - 1, (Step(reads={unit: 1}, writes=writes), rest)),
        )

    def group(filled: int) -> Program:
        given = ({out: 1} if n < filled else {} for n in range(len(outs)))
        return tuple(
            step for unit, writes in zip(outs, given, strict=True) for step in row(unit, writes)
        )

    full, left = divmod(rows, len(outs))
    return Loop(full, group(len(outs))), *(group(left) if left else ())


def expert_linear(block: ExpertLinear, inputs: Streams, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it, with the queues that its routes give."""
    units = [f"in {n}" for n in range(block.units)]
    outs = [f"out {n}" for n in range(block.units)]
    row = block.in_tiles * block.reads
    queues = [len(queue) for queue in block.queues(inputs) if len(queue)]
    groups = [groups_of(rows, block.units) for rows in queues]
    matrix = row * block.out_beats * 4 * block.out_tiles
    deal: Program = ()
    compute: Program = ()
    write: Program = ()
    for rows, of in zip(queues, groups, strict=True):
        deal += dealer_program(of, row, units=units, orders="orders", group="groups")
        compute += compute_program(
            *(of, block.in_tiles, block.out_tiles, block.reads),
            **{"units": units, "outs": outs, "group": "groups", "weights": "weights"},
        )
        write += writer_program(
            rows, block.out_tiles, block.out_beats, outs=outs, orders="orders", out="y"
        )
    fill = fill_program(block.tokens * row, "x") + fill_program(len(inputs["routes"]), "routes")
    load = Loop(len(queues), loader_program(matrix, stream="w", weights="weights"))
    processes = (
        Process(name="dealer", program=fill + deal, latency=block.dealer_latency),
        Process(name="loader", program=(load,)),
        Process(name="compute", program=compute, latency=block.compute_latency),
        Process(name="writer", program=write, latency=block.writer_latency),
    )
    return with_ends(_fifos(block, units, outs), processes, block.sources, block.sinks, open_ or {})


def _fifos(block: ExpertLinear, units: list[str], outs: list[str]) -> tuple[Fifo, ...]:
    each = {"in": units, "out": outs}
    bits = {"orders": 9, "groups": 1, "y": 128, "out": 128 * block.out_beats}
    bits["weights"] = 32 * block.in_tiles * block.reads * block.out_tiles * block.out_beats * 4
    return tuple(
        Fifo(name=one, depth=block.depths[name], bits=bits.get(name, 32))
        for name in block.fifos
        for one in each.get(name, [name])
    )
