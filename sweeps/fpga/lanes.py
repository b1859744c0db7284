"""Routing-aware choice of NL: what uneven expert queues cost each number of lanes, and which is
best under a recorded load."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...simulator.fpga.points import image_cycles
from .queues import even
from .search import parameters
from .space import NAMES, Space

Ints = NDArray[np.int64]
NL = NAMES.index("units")


class Lanes(msgspec.Struct, frozen=True, kw_only=True):
    """Designs with `units` lanes (NL) under one load.

    padding: share of the linear kernel's expert turns that pad the last group of a queue; hiding:
    share of the experts' weight loads that other experts' products hide; latency_s: of the best
    design inside the budgets, whose parameters these are; even_s: the same design's under even
    queues.
    """

    units: int
    padding: float
    hiding: float
    latency_s: float
    even_s: float
    parameters: dict[str, float]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Every NL that fits; `chosen` is best under the load, `fixed` under even queues."""

    lanes: tuple[Lanes, ...]
    chosen: Lanes
    fixed: Lanes

    @property
    def gain(self) -> float:
        """How much of the fixed design's latency under the load the chosen one saves."""
        return 1 - self.chosen.latency_s / self.fixed.latency_s


def padding(queues: Ints, units: int) -> float:
    """Share of turns that are padding when queues are dealt in groups of `units`."""
    turns = units * -(-queues // units)
    return 1 - float(queues.sum() / turns.sum())


def choose(space: Space) -> Choice:
    """The best NL for the queues of a space, beside the one that even queues would choose."""
    flat = msgspec.structs.replace(space, queues=even(space.model, space.tokens))
    found, plain = space.grid(), flat.grid()
    where = np.indices(space.axes.shape)[NL].ravel()
    lanes = []
    for at, units in enumerate(space.axes.units):
        good = np.flatnonzero(found.inside & (where == at))
        if good.size:
            best = int(good[np.argmin(found.objectives[good, 0])])
            lanes.append(_lanes(space, units, best, found.objectives, plain.objectives))
    if not lanes:
        raise BadInput("holds no design of the grid", key=space.board.name)
    inside = np.flatnonzero(plain.inside)
    # The design that even queues choose, put to the load.
    fixed = int(inside[np.argmin(plain.objectives[inside, 0])])
    units = space.axes.units[where[fixed]]
    return Choice(
        lanes=tuple(lanes),
        chosen=min(lanes, key=lambda each: each.latency_s),
        fixed=_lanes(space, units, fixed, found.objectives, plain.objectives),
    )


def _lanes(
    space: Space,
    units: int,
    point: int,
    found: NDArray[np.float64],
    plain: NDArray[np.float64],
) -> Lanes:
    place = np.array(np.unravel_index(point, space.axes.shape))
    return Lanes(
        units=units,
        padding=padding(space.queues, units),
        hiding=_hiding(space, place),
        latency_s=float(found[point, 0]),
        even_s=float(plain[point, 0]),
        parameters=parameters(space, place),
    )


def _hiding(space: Space, place: Ints) -> float:
    """Share of the experts' weight loads that vanish under products of a design."""
    points = space.points(tuple(place))
    memory = space.board.memory.bandwidth_bytes_per_s
    none = np.zeros_like(space.queues[:1])
    cycles, without = (
        image_cycles(points, space.model, space.tokens, queues, memory)
        for queues in (space.queues, none)
    )
    waits = float(cycles.waits - without.waits)
    hidden = float(cycles.expert_loads)
    return hidden / (hidden + waits)
