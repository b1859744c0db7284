"""TimeCurve: seconds of one expert against its tokens, on any unit."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput, bytes_of, number_format
from ...hardware import Cpu, Gpu
from ...roofline.bound import Unit
from ...roofline.experts import expert_matrices
from ...roofline.shapes import Routed
from ...workload import Experts, MoEModel

Floats = NDArray[np.float64]


class TimeCurve(msgspec.Struct, frozen=True, kw_only=True):
    """One expert's time on one unit, called with its tokens.

    matrices: inputs and outputs of each product, in order; sizes are bytes per element. A table
    of such times is what Duplex fills beforehand (arXiv 2409.01141, expert co-processing).
    """

    unit: Unit
    matrices: tuple[tuple[float, float], ...]
    dtype: str
    weight_size: float
    activation_size: float

    @classmethod
    def of(cls, model: MoEModel, unit: Unit, *, expert_tp: int = 1) -> TimeCurve:
        """The curve of an expert of the model's first MoE layer, or of its share when `expert_tp`
        devices split each expert. Raises BadInput for a split that does not divide it."""
        block: Experts = model.experts
        if expert_tp < 1 or block.inter % expert_tp:
            raise BadInput(
                f"must divide the expert's width {block.inter}", key="expert_tp", value=expert_tp
            )
        inter = block.inter // expert_tp
        form = model.formats
        return cls(
            unit=unit,
            matrices=_matrices(model.hidden, inter, block.gated),
            dtype=form.experts,
            weight_size=bytes_of(form.experts, 1),
            activation_size=bytes_of(form.activations, 1),
        )

    @classmethod
    def of_shape(cls, shape: Routed, dtype: str, unit: Unit) -> TimeCurve:
        """The curve of an expert of an operator table, stored as `dtype`."""
        form = number_format(dtype)
        return cls(
            unit=unit,
            matrices=_matrices(shape.hidden, shape.inter, shape.gated),
            dtype=dtype,
            weight_size=form.bytes_per_element,
            activation_size=form.operand_bytes,
        )

    def __call__(self, tokens: ArrayLike) -> Floats:
        """Seconds for each number of tokens, in its shape; zero tokens take no time.

        Each product takes the larger of flops / peak, bytes / bandwidth and bytes / cache bandwidth
        as in `roofline.bound`: weights come from memory, activations too where the unit's last
        cache cannot hold them.
        """
        moving, computing = self.by_resource(tokens)
        return np.asarray(moving + computing)

    def by_resource(self, tokens: ArrayLike) -> tuple[Floats, Floats]:
        """The same seconds in two: of the products that moving bytes takes, and of those that
        arithmetic takes."""
        rows = np.asarray(tokens, np.float64)
        if rows.size and not (np.isfinite(rows).all() and rows.min() >= 0):
            raise BadInput("must be finite and not negative", key="tokens")
        device = self.unit.device
        peak, rate = device.peak(self.dtype), self.unit.bandwidth_bytes_per_s
        cache = device.cache if isinstance(device, Gpu | Cpu) else None
        moving, computing = np.zeros_like(rows), np.zeros_like(rows)
        for flops, weights, moved in self._products(rows):
            held = moved <= cache.capacity_bytes if cache is not None else False
            bytes_s = (weights + np.where(held, 0.0, moved)) / rate
            if cache is not None and cache.bandwidth_bytes_per_s is not None:
                bytes_s = np.maximum(bytes_s, (weights + moved) / cache.bandwidth_bytes_per_s)
            flops_s = flops / peak
            moving += np.where((rows > 0) & (flops_s < bytes_s), bytes_s, 0.0)
            computing += np.where((rows > 0) & (flops_s >= bytes_s), flops_s, 0.0)
        return moving, computing

    def energy_j(self, tokens: ArrayLike) -> Floats | None:
        """Joules of arithmetic and of every byte, as from memory; None where a constant lacks."""
        per_flop, per_byte = self.unit.device.energy_j_per_flop, self.unit.energy_j_per_byte
        if per_flop is None or per_byte is None:
            return None
        rows = np.asarray(tokens, np.float64)
        joules = np.zeros_like(rows)
        for flops, weights, moved in self._products(rows):
            joules += flops * per_flop + np.where(rows > 0, weights + moved, 0.0) * per_byte
        return joules

    def _products(self, rows: Floats) -> Iterator[tuple[Floats, float, Floats]]:
        """Flops, weight bytes and activation bytes of each product."""
        for inputs, outputs in self.matrices:
            flops, weights, moved = expert_matrices(
                rows, 1.0, inputs, outputs, self.weight_size, self.activation_size
            )
            yield np.asarray(flops), float(weights), np.asarray(moved)


def _matrices(hidden: float, inter: float, gated: bool) -> tuple[tuple[float, float], ...]:
    return (hidden, (2 if gated else 1) * inter), (inter, hidden)


MOST_TOKENS = 65536


def crossover(few: TimeCurve, many: TimeCurve, most: int = MOST_TOKENS) -> int | None:
    """The fewest tokens of an expert at which `many` is the faster unit; None if up to `most` it
    never is. `few` is the unit meant for experts with few tokens: a PIM beside its xPU."""
    if most < 1:
        raise BadInput("must be at least 1", key="most", value=most)
    tokens = np.arange(1, most + 1)
    faster = many(tokens) < few(tokens)
    return int(tokens[faster.argmax()]) if faster.any() else None
