"""The critical path of a step, and its seconds by part and resource."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .prices import Price
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


def critical_path(table: OperatorTable, seconds: Floats) -> NDArray[np.int64]:
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


def reasons(
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


def limiter_of(why: dict[str, float]) -> str:
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return max(sums, key=lambda resource: sums[resource])
