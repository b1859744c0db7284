"""Systolic arrays with skewed operands: programs of a tile after the other, without overlap, and
the blocks with sources and sinks. The whole array stands still while a step waits.

Steps of a tile: K + rows + columns - 2, output stationary; 2 rows + columns + M - 2, weight
stationary (both derived: the operands of the last element come rows + columns - 2 steps late, and
weights take `rows` steps to shift in). Input stationary is weight stationary of the transposes.
"""

from __future__ import annotations

from ..golden import SystolicOs, SystolicWs
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends
from .linear import runs


def os_program(
    rows: int, columns: int, inner: int, tiles: int, *, a: str, b: str, sums: str
) -> Program:
    """A column of A and a row of B a step, `inner` of them; the last step gives the tile's sums."""
    steps = inner + rows + columns - 2
    tile = runs(
        Step(
            reads={a: 1, b: 1} if step < inner else {},
            writes={sums: 1} if step == steps - 1 else {},
        )
        for step in range(steps)
    )
    return (Loop(tiles, tile),)


def unload_program(rows: int, tiles: int, *, sums: str, out: str) -> Program:
    """A row of a tile's sums a cycle; the last one frees the tile."""
    first = Step(peeks={sums: 1}, writes={out: 1}, times=rows - 1)
    return (Loop(tiles, (first, Step(reads={sums: 1}, writes={out: 1}))),)


def ws_program(
    rows: int, columns: int, tall: int, tiles: int, *, w: str, x: str, sums: str
) -> Program:
    """A row of weights a step, `rows` of them, then a row of inputs a step, `tall` of them; each
    gives its row of sums rows + columns - 2 steps later."""
    pass_ = runs(
        Step(
            reads={x: 1} if step < tall else {},
            writes={sums: 1} if step >= rows + columns - 2 else {},
        )
        for step in range(tall + rows + columns - 2)
    )
    return (Loop(tiles, (Step(reads={w: 1}, times=rows), *pass_)),)


def add_program(tall: int, inner: int, outer: int, *, sums: str, out: str) -> Program:
    """Adds rows of sums up over the tiles of the inner dimension, a row a cycle; the last tile's
    rows leave."""
    kept = Step(reads={sums: 1}, times=tall * (inner - 1))
    return (Loop(outer, (kept, Step(reads={sums: 1}, writes={out: 1}, times=tall))),)


def systolic_os(block: SystolicOs, open_: Open | None = None) -> Graph:
    """The output-stationary array as its Verilog has it."""
    sizes = (block.rows, block.columns, block.inner, block.tiles)
    processes = (
        Process(name="array", program=os_program(*sizes, a="a", b="b", sums="tiles")),
        Process(
            name="unload", program=unload_program(block.rows, block.tiles, sums="tiles", out="c")
        ),
    )
    row = 32 * block.columns
    bits = {"a": 8 * block.rows, "b": 8 * block.columns, "tiles": block.rows * row, "c": row}
    return with_ends(_fifos(block, bits), processes, block.sources, block.sinks, open_ or {})


def systolic_ws(block: SystolicWs, open_: Open | None = None) -> Graph:
    """The weight-stationary array as its Verilog has it."""
    sizes = (block.rows, block.columns, block.tall, block.inner * block.outer)
    array = ws_program(*sizes, w="w", x="x", sums="sums")
    add = add_program(block.tall, block.inner, block.outer, sums="sums", out="c")
    processes = (
        Process(name="array", program=array),
        Process(name="add", program=add, latency=block.add_latency),
    )
    row = 32 * block.columns
    bits = {"w": 8 * block.columns, "x": 8 * block.rows, "sums": row, "c": row}
    return with_ends(_fifos(block, bits), processes, block.sources, block.sinks, open_ or {})


def _fifos(block: SystolicOs | SystolicWs, bits: dict[str, int]) -> tuple[Fifo, ...]:
    return tuple(Fifo(name=name, depth=block.depths[name], bits=bits[name]) for name in block.fifos)
