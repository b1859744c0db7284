"""Seconds of each operator on each device, by what takes them."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import AnyDevice, Cpu, Gpu, Pim, System
from .efficiency import Efficiency
from .table import Floats, OperatorTable


class Unit(msgspec.Struct, frozen=True):
    """A processor of a device: whose peaks it has, and the bytes/s and energy of its memory."""

    device: AnyDevice
    bandwidth_bytes_per_s: float
    energy_j_per_byte: float | None


def units(device: AnyDevice) -> tuple[Unit, ...]:
    """The processors that share a device's memory: a PIM and its host, else the device alone."""
    memory = device.memory
    if not isinstance(device, Pim):
        return (Unit(device, memory.bandwidth_bytes_per_s, memory.energy_j_per_byte),)
    pim = Unit(device, device.internal_bandwidth_bytes_per_s, device.internal_energy_j_per_byte)
    if device.host is None:
        return (pim,)
    return (Unit(device.host, memory.bandwidth_bytes_per_s, memory.energy_j_per_byte), pim)


LACKING = 1e-30
"""FLOP/s that stand for a format which a unit cannot multiply: the other unit is always faster."""


def peaks(device: AnyDevice, dtype: str) -> list[float]:
    """FLOP/s of each of `units(device)` at a format. Raises BadInput where all of them lack it."""
    found: list[float] = []
    fault: BadInput | None = None
    for unit in units(device):
        try:
            found.append(unit.device.peak(dtype))
        except BadInput as lack:
            found.append(LACKING)
            fault = lack
    if fault is not None and max(found) == LACKING:
        raise fault
    return found


class Price(msgspec.Struct, frozen=True):
    """Seconds of each operator on each device, by what would take them: `[operators, devices]`.

    total is the largest of tensor, memory and cache plus link and latency (an operator either
    computes or communicates, so one side is zero).
    """

    tensor: Floats
    weights: Floats
    kv: Floats
    activations: Floats
    cache: Floats
    link: Floats
    latency: Floats

    @property
    def memory(self) -> Floats:
        return np.asarray(self.weights + self.kv + self.activations)

    @property
    def total(self) -> Floats:
        busy = np.maximum(np.maximum(self.tensor, self.memory), self.cache)
        return np.asarray(busy + self.link + self.latency)


def kinds(system: System, count: int) -> list[tuple[AnyDevice, NDArray[np.int64]]]:
    """The kinds of device among the first `count`, and the ranks of each."""
    found: list[tuple[AnyDevice, list[int]]] = []
    for rank, device in enumerate(system.devices[:count]):
        for kind, ranks in found:
            if device is kind or device == kind:
                ranks.append(rank)
                break
        else:
            found.append((device, [rank]))
    return [(kind, np.array(ranks)) for kind, ranks in found]


def prices(
    table: OperatorTable, system: System, share: Efficiency
) -> tuple[Price, NDArray[np.int64]]:
    """The prices, and which unit of its device runs each operator: `[operators, devices]`."""
    shape = table.flops.shape
    columns = {name: np.zeros(shape) for name in Price.__struct_fields__}
    chosen = np.zeros(shape, np.int64)
    for device, ranks in kinds(system, table.devices):
        of = {dtype: peaks(device, dtype) for dtype in {op.dtype for op in table.operators}}
        rates = np.array([of[operator.dtype] for operator in table.operators])
        found = [
            _on_unit(table, ranks, unit, rates[:, u, None], share)
            for u, unit in enumerate(units(device))
        ]
        best = np.argmin(np.stack([price.total for price in found]), axis=0)
        chosen[:, ranks] = best
        for name, column in columns.items():
            column[:, ranks] = np.choose(best, [getattr(price, name) for price in found])
    rates = np.array([tier.link.bandwidth_bytes_per_s for tier in system.tiers]) * share.link
    if rates.size:
        # The tiers of a hierarchical collective can overlap; the busiest one bounds it.
        columns["link"] = (table.link_bytes / rates).max(axis=2)
    latency = np.array([operator.latency_s for operator in table.operators])
    columns["latency"] = latency[:, None] * (table.link_bytes.sum(axis=2) > 0)
    return Price(**columns), chosen


def _on_unit(
    table: OperatorTable,
    ranks: NDArray[np.int64],
    unit: Unit,
    peak: Floats,
    share: Efficiency,
) -> Price:
    """The prices of `ranks` on one unit, whose peaks are `[operators, 1]`."""
    rate = unit.bandwidth_bytes_per_s
    weights, kv = table.weight_bytes[:, ranks], table.kv_bytes[:, ranks]
    activations = table.activation_bytes[:, ranks]
    cache = unit.device.cache if isinstance(unit.device, Gpu | Cpu) else None
    spilled = activations
    through_cache = np.zeros_like(weights)
    if cache is not None:
        spilled = np.where(activations <= cache.capacity_bytes, 0.0, activations)
        if cache.bandwidth_bytes_per_s is not None:
            through_cache = (weights + kv + activations) / cache.bandwidth_bytes_per_s
    nothing = np.zeros_like(weights)
    return Price(
        tensor=table.flops[:, ranks] / (peak * share.tensor),
        weights=weights / (rate * share.weights),
        kv=kv / (rate * share.kv),
        activations=spilled / (rate * share.activations),
        cache=through_cache,
        link=nothing,
        latency=nothing,
    )
