"""Cases -> predicted seconds: NAME -> model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...base import unknown
from ...hardware import AnyDevice, Cpu, Gpu
from ...measured import Measurements
from .cases import Case, gemm_cases, moe_cases

Floats = NDArray[np.float64]
Model = Callable[[Measurements, AnyDevice, int], Floats]


def _cases(table: Measurements, *, busiest: bool, seed: int) -> list[Case]:
    if table.kind == "moe":
        return moe_cases(table, busiest=busiest, seed=seed)
    if table.kind == "gemm":
        return gemm_cases(table)
    raise unknown("table that these models predict", table.kind, ["moe", "gemm"], key="--what")


def _roof(
    table: Measurements, device: AnyDevice, cases: list[Case], share: tuple[float, float]
) -> Floats:
    """The sum over operators of max(flops / peak, bytes / bandwidth), by `roofline.bound`'s rule.

    share: of the tensor peak and of the bandwidth that is reached.
    """
    names, code = np.unique(table["dtype"].astype(str), return_inverse=True)
    peak = np.array([device.peak(str(name)) for name in names])[code] * share[0]
    bandwidth = device.memory.bandwidth_bytes_per_s * share[1]
    cache = device.cache if isinstance(device, Gpu | Cpu) else None
    held = cache.capacity_bytes if cache else 0.0
    seconds = np.zeros(len(table))
    for case in cases:
        spilled = np.where(case.activation_bytes <= held, 0.0, case.activation_bytes)
        seconds += np.maximum(case.flops / peak, (case.weight_bytes + spilled) / bandwidth)
    return seconds


def roofline(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The bound at data sheet peaks with an even load: what a spreadsheet would say."""
    return _roof(table, device, _cases(table, busiest=False, seed=seed), (1.0, 1.0))


def roofline_busiest(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The bound of the busiest rank, its load drawn as the tables drew it."""
    return _roof(table, device, _cases(table, busiest=True, seed=seed), (1.0, 1.0))


def constant(table: Measurements, device: AnyDevice, seed: int) -> Floats:
    """The even-load roofline at 0.7 of the tensor peak and 0.8 of the bandwidth, a common guess."""
    return _roof(table, device, _cases(table, busiest=False, seed=seed), (0.7, 0.8))


MODELS: dict[str, Model] = {
    "roofline": roofline,
    "roofline-busiest": roofline_busiest,
    "constant": constant,
}
"""How a measured table is predicted. A callable of the same shape is accepted in their place."""
