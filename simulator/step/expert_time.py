"""TimeCurve: seconds of one expert against its tokens, on any unit."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput, bytes_of
from ...hardware import Cpu, Gpu
from ...roofline.bound import Unit
from ...roofline.experts import expert_matrices
from ...workload import Experts, MoEModel


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
        up = (2 if block.gated else 1) * inter
        return cls(
            unit=unit,
            matrices=((model.hidden, up), (inter, model.hidden)),
            dtype=model.formats.experts,
            weight_size=bytes_of(model.formats.experts, 1),
            activation_size=bytes_of(model.formats.activations, 1),
        )

    def __call__(self, tokens: ArrayLike) -> NDArray[np.float64]:
        """Seconds for each number of tokens, in its shape; zero tokens take no time.

        Each product takes the larger of flops / peak, bytes / bandwidth and bytes / cache bandwidth
        as in `roofline.bound`: weights come from memory, activations too where the unit's last
        cache cannot hold them.
        """
        rows = np.asarray(tokens, np.float64)
        if rows.size and not (np.isfinite(rows).all() and rows.min() >= 0):
            raise BadInput("must be finite and not negative", key="tokens")
        device = self.unit.device
        peak, rate = device.peak(self.dtype), self.unit.bandwidth_bytes_per_s
        cache = device.cache if isinstance(device, Gpu | Cpu) else None
        total = np.zeros_like(rows)
        for inputs, outputs in self.matrices:
            flops, weights, moved = expert_matrices(
                rows, 1.0, inputs, outputs, self.weight_size, self.activation_size
            )
            held = moved <= cache.capacity_bytes if cache is not None else False
            seconds = np.maximum(flops / peak, (weights + np.where(held, 0.0, moved)) / rate)
            if cache is not None and cache.bandwidth_bytes_per_s is not None:
                seconds = np.maximum(seconds, (weights + moved) / cache.bandwidth_bytes_per_s)
            total = total + seconds
        return np.where(rows > 0, total, 0.0)


MOST_TOKENS = 65536


def crossover(few: TimeCurve, many: TimeCurve, most: int = MOST_TOKENS) -> int | None:
    """The fewest tokens of an expert at which `many` is the faster unit; None if up to `most` it
    never is. `few` is the unit meant for experts with few tokens: a PIM beside its xPU."""
    if most < 1:
        raise BadInput("must be at least 1", key="most", value=most)
    tokens = np.arange(1, most + 1)
    faster = many(tokens) < few(tokens)
    return int(tokens[faster.argmax()]) if faster.any() else None
