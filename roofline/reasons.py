"""The critical path of a step, and its seconds by part and resource."""

from __future__ import annotations

from collections.abc import Mapping

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
    beyond: Mapping[str, Floats] | None = None,
) -> dict[str, float]:
    """Seconds by 'part: resource' along the critical path; they add up to its length.

    apart: imbalance between the devices' experts is a reason of its own. beyond: what operators
    take beyond their price, by reason: `[operators, devices]`; `seconds` are then both together.
    """
    why: dict[str, float] = {}
    for i, operator in enumerate(table.operators):
        device = int(path[i])
        if seconds[i, device] <= 0:
            continue
        spent = _split(table, operator, i, device, price)
        for reason, values in (beyond or {}).items():
            spent[reason] = spent.get(reason, 0.0) + float(values[i, device])
        if apart and operator.part == "experts" and not operator.group:
            uneven = _imbalance(table, seconds[i], device)
            kept = 1 - uneven / float(seconds[i, device])
            spent = {**{reason: kept * part for reason, part in spent.items()}, IMBALANCE: uneven}
        for reason, part in spent.items():
            if part:
                key = f"{operator.part}: {reason}"
                why[key] = why.get(key, 0.0) + part
    return dict(sorted(why.items(), key=lambda item: -item[1]))


def _imbalance(table: OperatorTable, seconds: Floats, device: int) -> float:
    """By how many of its seconds a device exceeds the mean of its stage, idle devices included."""
    start = device // table.stage_devices * table.stage_devices
    stage = seconds[start : start + table.stage_devices]
    return max(0.0, float(seconds[device] - stage.mean()))


def _split(
    table: OperatorTable, operator: Operator, i: int, device: int, price: Price
) -> dict[str, float]:
    """One operator's price on one device by resource."""
    if operator.group:
        return {
            LINK: float(price.link[i, device]),
            LATENCY: float(price.latency[i, device]),
        }
    tensor, memory = float(price.tensor[i, device]), float(price.memory[i, device])
    cache = float(price.cache[i, device])
    if tensor >= memory and tensor >= cache:
        return {TENSOR: tensor}
    if cache > memory:
        return {CACHE: cache}
    weights = float(price.weights[i, device])
    read = float(table.weight_bytes[i, device])
    first = float(table.token_weight_bytes[i, device]) / read if read else 1.0
    return {
        WEIGHTS: weights * first,
        MORE_EXPERTS: weights * max(0.0, 1 - first),
        KV: float(price.kv[i, device]),
        ACTIVATIONS: float(price.activations[i, device]),
    }


def limiter_of(why: dict[str, float]) -> str:
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return max(sums, key=lambda resource: sums[resource])
