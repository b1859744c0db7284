"""The space of UbiMoE's class of designs: a grid of axes, and what its points give on a board."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import Fpga
from ...simulator.fpga.closed_forms import Number
from ...simulator.fpga.energy import image_j
from ...simulator.fpga.points import Points, image_cycles
from ...simulator.fpga.precision import Precision
from ...simulator.fpga.resources import Shape, excess, usage
from ...workload import MoEModel

OBJECTIVES = ("latency_s", "dsp", "bram36", "bandwidth", "energy_j")
"""What is made small; the columns of every array of objectives."""


class Axes(msgspec.Struct, frozen=True, kw_only=True):
    """The values of each parameter. A port's width stands for Ta: lanes are its bits over a
    feature's. Every combination is a point."""

    clock_hz: tuple[float, ...] = (200e6, 250e6, 300e6)
    port_bits: tuple[int, ...] = (64, 128, 256, 512, 1024)
    queries: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
    copies: tuple[int, ...] = (1, 2, 3, 4)
    tin: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    tout: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    units: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)

    def __post_init__(self) -> None:
        for name, values in zip(NAMES, self.values, strict=True):
            _check_numbers(name, values)
            if not values or min(values) <= 0 or list(values) != sorted(set(values)):
                raise BadInput("needs ascending values above zero", key=name, value=values)

    @property
    def values(self) -> tuple[tuple[float, ...], ...]:
        return msgspec.structs.astuple(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(values) for values in self.values)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


NAMES = Axes.__struct_fields__


def _check_numbers(name: str, values: Sequence[object]) -> None:
    """Raises BadInput for a value that no design has: clocks are finite, all else is whole."""
    for value in values:
        kind = Real if name == "clock_hz" else Integral
        if isinstance(value, bool) or not isinstance(value, kind) or not math.isfinite(value):
            what = "finite" if kind is Real else "whole"
            raise BadInput(f"takes {what} numbers only", key=name, value=value)


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """Of points in C order: objectives `[points, OBJECTIVES]`; excess `[points]`, shares over
    budget, 0 for points inside; msa_s, moe_s `[points]`: seconds of the attention kernels and of
    all else, which several images under way can overlap."""

    objectives: NDArray[np.float64]
    excess: NDArray[np.float64]
    msa_s: NDArray[np.float64]
    moe_s: NDArray[np.float64]

    @property
    def inside(self) -> NDArray[np.bool_]:
        return np.asarray(self.excess == 0)

    @property
    def interval_s(self) -> NDArray[np.float64]:
        return np.maximum(self.msa_s, self.moe_s)


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """A grid for one board, precision and model. queues: tokens of each expert `[images,
    moe_layers, experts]` of images of `tokens` tokens, over which times are means."""

    board: Fpga
    precision: Precision
    model: MoEModel
    tokens: int
    queues: NDArray[np.int64]
    axes: Axes = Axes()

    def __post_init__(self) -> None:
        for bits in self.axes.port_bits:
            self.precision.check_port(bits)

    def points(self, place: Sequence[NDArray[np.int64]]) -> Points:
        """The points at these places of each axis (arrays that broadcast together)."""
        columns = (np.asarray(v)[at] for v, at in zip(self.axes.values, place, strict=True))
        given: dict[str, Number] = dict(zip(NAMES, columns, strict=True))
        lanes = given.pop("port_bits") // self.precision.feature_bits
        return Points(precision=self.precision, lanes=lanes, **given)

    def evaluate(self, place: Sequence[NDArray[np.int64]]) -> Evaluated:
        """The points at these places of each axis."""
        points = self.points(place)
        memory = self.board.memory.bandwidth_bytes_per_s
        cycles = image_cycles(points, self.model, self.tokens, self.queues, memory)
        taken = usage(points, Shape.of(self.model, self.tokens), self.board)
        msa, moe = cycles.stream / points.clock_hz, cycles.beside / points.clock_hz
        latency = msa + moe
        energy = image_j(points, cycles, taken, self.board, latency)
        columns = (latency, taken.total.dsp, taken.total.bram36, taken.bandwidth, energy)
        shape = np.broadcast_shapes(*(np.shape(at) for at in place))

        def flat(values: Number) -> NDArray[np.float64]:
            return np.broadcast_to(np.asarray(values, np.float64), shape).reshape(-1)

        return Evaluated(
            objectives=np.stack([flat(column) for column in columns], axis=1),
            excess=flat(excess(taken, points, self.board)),
            msa_s=flat(msa),
            moe_s=flat(moe),
        )

    def grid(self) -> Evaluated:
        """Every point, in C order of the axes."""
        return self.evaluate(np.ix_(*(np.arange(size) for size in self.axes.shape)))
