"""Layer norm, the shared linear kernel with its weight loader, and the gate, on a plan.

Every function appends one use of the kernel: it begins after the points given and gives the point
at which its results are in the memory.
"""

from __future__ import annotations

from ..blocks.linear import (
    Tiling,
    compute_program,
    dealer_program,
    loader_program,
    writer_program,
)
from ..closed_forms import tiles, weight_cycles
from ..designs import Design
from ..graph import Loop, Step
from .chip import Chip
from .plan import Done


def norm(chip: Chip, *after: Done) -> Done:
    """Mean and variance of a row while it comes in, then the row itself from a buffer."""
    plan, beats, bits = chip.plan, chip.beats, chip.design.port_bits
    plan.wait("norm.read", *after)
    x = plan.read("norm.read", chip.tokens * beats)
    y = plan.write("norm.write", chip.tokens * beats)
    row = plan.fifo("norm.row", 2 * beats, bits)
    moments = plan.fifo("norm.moments", 2, 2 * chip.design.feature_bits)
    beat = Step(reads={x: 1}, writes={row: 1}, times=beats - 1)
    last = Step(reads={x: 1}, writes={row: 1, moments: 1})
    first = Step(reads={row: 1, moments: 1}, writes={y: 1})
    rest = Step(reads={row: 1}, writes={y: 1}, times=beats - 1)
    plan.run("norm.moments", (Loop(chip.tokens, (beat, last)),), chip.design.pipeline_cycles)
    plan.run("norm.scale", (Loop(chip.tokens, (first, rest)),), chip.design.pipeline_cycles)
    return plan.done("norm.write")


def linear(
    chip: Chip, rows: int, shape: tuple[int, int], *after: Done, expert: bool = False
) -> Done:
    """A queue of rows through a matrix of `shape` (inputs, outputs). Its weights are fetched as
    soon as a weight buffer is free. expert: each row's place goes from reader to writer."""
    plan, design = chip.plan, chip.design
    weights = _fetch(chip, shape)
    plan.wait("linear.read", *after)
    tiling = _tiling(design, shape)
    units, outs = _buffers(chip, tiling)
    group = plan.fifo("linear.groups", 2)
    told = heard = plan.fifo("linear.index", 4 * len(units), 16) if expert else None
    if design.skips_full_queues and rows == chip.tokens:
        told = None
    x, y = (
        plan.read("linear.read", rows * tiling.beats_in),
        plan.write("linear.write", rows * tiling.beats_out),
    )
    deal = dealer_program(rows, tiling, x=x, units=units, orders=told, group=group)
    compute = compute_program(rows, tiling, units=units, outs=outs, group=group, weights=weights)
    collect = writer_program(rows, tiling, outs=outs, orders=heard, out=y)
    plan.run("linear.deal", deal)
    plan.run("linear.compute", compute, design.pipeline_cycles)
    plan.run("linear.collect", collect)
    return plan.done("linear.write")


def _fetch(chip: Chip, shape: tuple[int, int]) -> str:
    """A matrix of weights from the memory into a free weight buffer; gives the buffers."""
    plan, design = chip.plan, chip.design
    beats = int(weight_cycles(*shape, design.weights_per_beat))
    bits = chip.weights * design.weight_bits
    weights = plan.fifo("linear.weights", design.weight_buffers, bits)
    stream = plan.read("weights.read", beats)
    plan.run("weights.load", loader_program(beats, stream=stream, weights=weights))
    return weights


def _tiling(design: Design, shape: tuple[int, int]) -> Tiling:
    return Tiling(
        inputs=shape[0],
        outputs=shape[1],
        tin=design.tin,
        tout=design.tout,
        lanes=design.lanes,
        chunk=design.tin if design.packs_tiles else design.lanes,
    )


def _buffers(chip: Chip, tiling: Tiling) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """FIFOs of two rows before and behind each unit: one is filled while the other is used."""
    plan, bits = chip.plan, chip.design.feature_bits
    chunks, tile_rows = (2 * int(tiles(chip.widest, size)) for size in (tiling.chunk, tiling.tout))
    units = range(chip.design.linear_units)
    return (
        tuple(plan.fifo(f"linear.in{unit}", chunks, tiling.chunk * bits) for unit in units),
        tuple(plan.fifo(f"linear.out{unit}", tile_rows, tiling.tout * bits) for unit in units),
    )


def gate(chip: Chip, experts: int, *after: Done) -> Done:
    """A token's scores with all experts, softmax over them, top-k: token by token."""
    plan = chip.plan
    plan.wait("gate.read", *after)
    x = plan.read("gate.read", chip.tokens * chip.beats)
    token = (
        Step(reads={x: 1}, times=chip.beats),
        Step(interval=chip.design.softmax_interval, times=experts),
        Step(times=experts),
    )
    plan.run("gate", (Loop(chip.tokens, token),))
    return plan.done("gate")
