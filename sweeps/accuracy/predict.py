"""Measured rows -> predicted seconds: NAME -> model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...base import unknown
from ...hardware import AnyDevice, Cpu, Gpu
from ...measured import Measurements
from .cases import Case, by_name, gemm_cases, moe_cases
from .prediction import Model, Prediction, Tell
from .tile import tile

Floats = NDArray[np.float64]
Plain = Callable[[Measurements, AnyDevice, int], Floats]
"""(table, device, seed) -> seconds `[rows]`."""


def roofline(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The bound at data sheet peaks with an even load: what a spreadsheet would say."""
    return roof_s(table, device, _cases(table))


def roofline_busiest(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The roofline of the busiest rank, its load drawn as the tables drew it."""
    return roof_s(table, device, _cases(table, busiest=True, seed=seed))


def constant(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The even-load roofline at 0.7 of the tensor peak and 0.8 of the bandwidth, a common guess."""
    return roof_s(table, device, _cases(table), tensor=0.7, memory=0.8)


def plain(model: Plain) -> Model:
    """A model that says seconds only, without progress."""

    def predict(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Prediction:
        return Prediction(seconds=np.asarray(model(table, device, seed), np.float64))

    return predict


MODELS: dict[str, Model] = {
    "roofline": plain(roofline),
    "roofline-busiest": plain(roofline_busiest),
    "constant": plain(constant),
    "tile": tile,
}
"""How a measured table is predicted. A callable (table, device, seed) -> seconds `[rows]` is
accepted in their place."""

BOUNDS = ("roofline",)
"""The models that no machine with these peaks can beat; what the others say is simulated."""


def _cases(table: Measurements, *, busiest: bool = False, seed: int = 0) -> list[Case]:
    if table.kind == "moe":
        return moe_cases(table, busiest=busiest, seed=seed)
    if table.kind == "gemm":
        return gemm_cases(table)
    raise unknown("table that these models predict", table.kind, ["moe", "gemm"], key="--what")


def roof_s(
    table: Measurements,
    device: AnyDevice,
    cases: list[Case],
    *,
    tensor: float = 1.0,
    memory: float = 1.0,
) -> Floats:
    """The sum over operators of max(flops / peak, bytes / bandwidth), by `roofline.bound`'s rule:
    activations that fit in the last-level cache never reach memory.

    tensor, memory: the shares of the tensor peak and of the bandwidth that are reached.
    """
    peak = by_name(table["dtype"], device.peak) * tensor
    bandwidth = device.memory.bandwidth_bytes_per_s * memory
    cache = device.cache if isinstance(device, Gpu | Cpu) else None
    held = cache.capacity_bytes if cache else 0.0
    seconds = np.zeros(len(table))
    for case in cases:
        spilled = np.where(case.activation_bytes <= held, 0.0, case.activation_bytes)
        seconds += np.maximum(case.flops / peak, (case.weight_bytes + spilled) / bandwidth)
    return seconds
