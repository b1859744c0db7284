"""OperatorTable + System -> Estimate: the roofline, operator by operator, and its reasons."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import AnyDevice, Cpu, Gpu, Pim, System
from .efficiency import Efficiency
from .estimate import Estimate
from .table import Floats, Operator, OperatorTable

TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY, IMBALANCE, MORE_EXPERTS = (
    "tensor peak",
    "weights from memory",
    "KV from memory",
    "activations from memory",
    "last-level cache",
    "link",
    "link latency",
    "imbalance",
    "further experts' weights",
)
"""Resources that a reason can name."""


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


_LACKING = 1e-30
"""FLOP/s that stand for a format which a unit cannot multiply: the other unit is always faster."""


def peaks(device: AnyDevice, dtype: str) -> list[float]:
    """FLOP/s of each of `units(device)` at a format. Raises BadInput where all of them lack it."""
    found: list[float] = []
    fault: BadInput | None = None
    for unit in units(device):
        try:
            found.append(unit.device.peak(dtype))
        except BadInput as lack:
            found.append(_LACKING)
            fault = lack
    if fault is not None and max(found) == _LACKING:
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


def bound(table: OperatorTable, system: System, efficiency: Efficiency | None = None) -> Estimate:
    """The time of a step whose operators run one after another, each at the roofline.

    No device with these peaks runs this list of operators in this order faster. A program that
    overlaps links with arithmetic, keeps activations on the die across operators (fusion), or
    reduces inside a switch runs another list; `simulator.simulate` overlaps.

    An operator takes the largest of flops / tensor peak, bytes / memory bandwidth and bytes / cache
    bandwidth (Williams et al., Roofline, CACM 2009); a collective takes the bytes of its busiest
    tier over that link plus one latency, and starts when the last device of its group is there.
    Activations that fit in the last-level cache never reach memory. On a device with PIM each
    operator runs on the faster of the two units. With an Efficiency below one the result is no
    bound but a simulation.
    """
    efficiency = efficiency or Efficiency()
    if table.devices > len(system.devices) or table.link_bytes.shape[2] != len(system.tiers):
        raise BadInput(
            f"has {len(system.devices)} devices in {len(system.tiers)} tiers; the operators were "
            f"made for {table.devices} in {table.link_bytes.shape[2]}",
            key=system.name,
        )
    price, chosen = _price(table, system, efficiency)
    seconds = price.total
    path = _critical_path(table, seconds)
    why = _reasons(table, price, seconds, path)
    whole = efficiency == Efficiency(evidence=efficiency.evidence)
    return Estimate(
        seconds=sum(why.values()),
        why=why,
        limiter=_limiter(why),
        energy_j=_energy(table, system, chosen),
        operator_s=seconds,
        table=table,
        evidence="bound" if whole else "simulated",
    )


def spent_by_resource(table: OperatorTable, system: System) -> dict[str, float]:
    """The seconds of `bound` by resource; no imbalance and no further experts among them: these
    count with what the critical device spends them on."""
    price, _ = _price(table, system, Efficiency())
    path = _critical_path(table, price.total)
    why = _reasons(table, price, price.total, path, apart=False)
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return sums


def _price(
    table: OperatorTable, system: System, share: Efficiency
) -> tuple[Price, NDArray[np.int64]]:
    """The prices, and which unit of its device runs each operator: `[operators, devices]`."""
    shape = table.flops.shape
    columns = {name: np.zeros(shape) for name in Price.__struct_fields__}
    chosen = np.zeros(shape, np.int64)
    by_device: dict[int, list[int]] = {}
    for rank in range(table.devices):
        by_device.setdefault(id(system.devices[rank]), []).append(rank)
    for ranks in by_device.values():
        device = system.devices[ranks[0]]
        of = {dtype: peaks(device, dtype) for dtype in {op.dtype for op in table.operators}}
        rates = np.array([of[operator.dtype] for operator in table.operators])
        prices = [
            _on_unit(table, ranks, unit, rates[:, u, None], share)
            for u, unit in enumerate(units(device))
        ]
        best = np.argmin(np.stack([price.total for price in prices]), axis=0)
        chosen[:, ranks] = best
        for name, column in columns.items():
            stacked = np.stack([getattr(price, name) for price in prices])
            column[:, ranks] = np.take_along_axis(stacked, best[None], axis=0)[0]
    rates = np.array([tier.link.bandwidth_bytes_per_s for tier in system.tiers]) * share.link
    if rates.size:
        # The tiers of a hierarchical collective can overlap; the busiest one bounds it.
        columns["link"] = (table.link_bytes / rates).max(axis=2)
    latency = np.array([operator.latency_s for operator in table.operators])
    columns["latency"] = latency[:, None] * (table.link_bytes.sum(axis=2) > 0)
    return Price(**columns), chosen


def _on_unit(
    table: OperatorTable, ranks: list[int], unit: Unit, peak: Floats, share: Efficiency
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


def _critical_path(table: OperatorTable, seconds: Floats) -> NDArray[np.int64]:
    """The device that each operator waits for on the way to the end: `[operators]`.

    Devices run their operators in order and meet in collectives. Forwards, each meeting keeps who
    came last; backwards from the last device to finish, the path changes device where it met one.
    """
    clock = np.zeros(table.devices)
    last: dict[int, list[tuple[slice, int]]] = {}
    for i, operator in enumerate(table.operators):
        if operator.group:
            for run in table.members(operator.group):
                slowest = run.start + int(np.argmax(clock[run]))
                last.setdefault(i, []).append((run, slowest))
                clock[run] = clock[slowest] + seconds[i, run].max()
        else:
            clock += seconds[i]
    device = int(np.argmax(clock))
    path = np.zeros(len(table.operators), np.int64)
    for i in range(len(table.operators) - 1, -1, -1):
        path[i] = device
        for run, slowest in last.get(i, ()):
            if run.start <= device < run.stop:
                path[i] = run.start + int(np.argmax(seconds[i, run]))
                device = slowest
    return path


def _reasons(
    table: OperatorTable,
    price: Price,
    seconds: Floats,
    path: NDArray[np.int64],
    *,
    apart: bool = True,
) -> dict[str, float]:
    """Seconds by 'part: resource' along the critical path; they add up to its length.

    apart: imbalance between the devices' experts is a reason of its own.
    """
    why: dict[str, float] = {}
    for i, operator in enumerate(table.operators):
        device = int(path[i])
        if seconds[i, device] <= 0:
            continue
        uneven = (
            _imbalance(table, seconds[i], device) if apart and operator.part == "experts" else 0
        )
        for resource, spent in _split(table, operator, i, device, price, uneven).items():
            if spent:
                key = f"{operator.part}: {resource}"
                why[key] = why.get(key, 0.0) + spent
    return dict(sorted(why.items(), key=lambda item: -item[1]))


def _imbalance(table: OperatorTable, seconds: Floats, device: int) -> float:
    """By how many of its seconds a device exceeds the mean of its stage, idle devices included."""
    start = device // table.stage_devices * table.stage_devices
    stage = seconds[start : start + table.stage_devices]
    return max(0.0, float(seconds[device] - stage.mean()))


def _split(
    table: OperatorTable, operator: Operator, i: int, device: int, price: Price, imbalance: float
) -> dict[str, float]:
    """One operator's seconds on one device by resource, `imbalance` of them apart."""
    if operator.group:
        return {
            LINK: float(price.link[i, device]),
            LATENCY: float(price.latency[i, device]),
        }
    tensor, memory = float(price.tensor[i, device]), float(price.memory[i, device])
    left = max(tensor, memory, float(price.cache[i, device])) - imbalance
    if tensor >= memory and tensor >= price.cache[i, device]:
        return {TENSOR: left, IMBALANCE: imbalance}
    if price.cache[i, device] > memory:
        return {CACHE: left, IMBALANCE: imbalance}
    scale = left / memory
    weights = float(price.weights[i, device]) * scale
    read = float(table.weight_bytes[i, device])
    first = float(table.token_weight_bytes[i, device]) / read if read else 1.0
    return {
        WEIGHTS: weights * first,
        MORE_EXPERTS: weights * max(0.0, 1 - first),
        KV: float(price.kv[i, device]) * scale,
        ACTIVATIONS: float(price.activations[i, device]) * scale,
        IMBALANCE: imbalance,
    }


def _limiter(why: dict[str, float]) -> str:
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return max(sums, key=lambda resource: sums[resource])


def _energy(table: OperatorTable, system: System, chosen: NDArray[np.int64]) -> float | None:
    """Joules of arithmetic, memory and links from published constants; None where one lacks.

    Every byte is priced as one from memory, those that a cache would hold too.
    """
    joules = 0.0
    moved = table.weight_bytes + table.kv_bytes + table.activation_bytes
    for rank in range(table.devices):
        for u, unit in enumerate(units(system.devices[rank])):
            runs = chosen[:, rank] == u
            flops, taken = float(table.flops[runs, rank].sum()), float(moved[runs, rank].sum())
            if not flops and not taken:
                continue
            if unit.device.energy_j_per_flop is None or unit.energy_j_per_byte is None:
                return None
            joules += flops * unit.device.energy_j_per_flop + taken * unit.energy_j_per_byte
    for tier, sent in zip(system.tiers, table.link_bytes.sum(axis=(0, 1)), strict=True):
        if sent and tier.link.energy_j_per_byte is None:
            return None
        joules += float(sent) * (tier.link.energy_j_per_byte or 0.0)
    return joules
