"""Published accelerators as dataflow graphs: all processes, FIFOs and ports of a whole image."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from ....base import BadInput
from ....hardware import Fpga
from ....workload import Gqa, MoEModel
from ..designs import Design
from ..estimate import Bracket, checked, estimate
from ..flat import MOST_STEPS
from ..graph import Graph, beat_rate, unbalanced
from ..run import simulate
from .chip import Chip
from .image import one, two
from .plan import Bus, Plan
from .simulated import Simulated

__all__ = ["SCHEDULES", "Simulated", "accelerator", "simulate_images"]

SCHEDULES = {1: one, 2: two}
"""By how many images are under way at once."""


def accelerator(
    design: Design,
    model: MoEModel,
    tokens: int,
    device: Fpga,
    *,
    clock_hz: float | None = None,
    queues: ArrayLike | None = None,
    images: int = 1,
    layers: int | None = None,
) -> Graph:
    """The graph of a design that computes one image of `tokens` tokens, or two at once.

    queues and clock_hz as for `estimate`, whose checks hold here too. layers: only so many of the
    model's, from the first.
    """
    if images not in SCHEDULES:
        raise BadInput("must be 1 or 2", key="images", value=images)
    asked = checked(design, model, tokens, device, clock_hz, queues)
    _check_size(estimate(design, model, tokens, device, clock_hz, queues))
    chip = _chip(design, model, tokens, _bus(design, device, asked.clock_hz))
    if layers is not None and not 1 <= layers <= len(model.layers):
        raise BadInput(f"must lie between 1 and {len(model.layers)}", key="layers", value=layers)
    SCHEDULES[images](chip, model.layers[:layers], asked.queues)
    return chip.plan.graph()


def simulate_images(
    design: Design,
    model: MoEModel,
    tokens: int,
    device: Fpga,
    *,
    clock_hz: float | None = None,
    queues: ArrayLike | None = None,
    images: int = 1,
) -> Simulated:
    """One image in time, or two at once, cycle by cycle; see `accelerator`. A deadlock is told by
    `run.deadlock`."""
    graph = accelerator(
        design, model, tokens, device, clock_hz=clock_hz, queues=queues, images=images
    )
    clock_hz = checked(design, model, tokens, device, clock_hz, queues).clock_hz
    run = simulate(graph, spans=True)
    return Simulated(
        tokens=tokens, images=images, clock_hz=clock_hz, run=run, unbalanced=unbalanced(graph)
    )


def _check_size(bracket: Bracket) -> None:
    """Raises BadInput, before anything is built, for an image whose kernels one after the other
    take more cycles than a simulation may have steps."""
    cycles = sum(term.cycles for term in bracket.terms)
    if cycles > MOST_STEPS:
        raise BadInput(
            f"takes some {cycles:.3g} cycles, over {MOST_STEPS}: it is not simulated; "
            "`moesaic fpga estimate` answers",
            key="image",
            value=f"{bracket.tokens} tokens",
        )


def _chip(design: Design, model: MoEModel, tokens: int, bus: Bus) -> Chip:
    mixer = model.layers[0].mixers[0]
    assert isinstance(mixer, Gqa)
    inner = mixer.heads * mixer.head_dim
    outs = (design.patch_inputs, inner, *(layer.ffn.inter for layer in model.layers))
    return Chip(
        plan=Plan(bus),
        design=design,
        tokens=tokens,
        width=model.hidden,
        inner=inner,
        heads=mixer.heads,
        widest=max(model.hidden, *outs),
        weights=model.hidden * max(outs),
    )


def _bus(design: Design, device: Fpga, clock_hz: float) -> Bus:
    """The board's memory as a port of the design sees it, in its clock."""
    beat = design.port_bits / 8 * clock_hz / device.memory.bandwidth_bytes_per_s
    return Bus(
        cycles_per_beat=beat_rate(beat),
        latency=math.ceil(design.memory_latency_s * clock_hz),
        burst=design.burst_beats,
        bursts_ahead=design.bursts_ahead,
        beat_bits=design.port_bits,
    )
