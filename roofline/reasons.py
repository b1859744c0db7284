"""The critical path of a step, and its seconds by part and resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .prices import Price
from .table import Floats, OperatorTable

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


def critical_paths(
    table: OperatorTable, order: NDArray[np.int64], seconds: Floats
) -> NDArray[np.int64]:
    """`critical_path` of many steps whose operators are the same, run in this order: `[order]`.

    seconds: `[operators, steps, devices]`; returns the devices, `[steps, order]`.
    """
    steps, devices = seconds.shape[1:]
    clock = np.zeros((steps, devices))
    width = [table.width(op.group) if op.group else 0 for op in table.operators]
    runs = {row: seconds[row].reshape(steps, -1, wide) for row, wide in enumerate(width) if wide}
    peak = {row: run.max(axis=2, keepdims=True) for row, run in runs.items()}
    longest = {row: run.argmax(axis=2) for row, run in runs.items()}
    last: dict[int, NDArray[np.int64]] = {}
    for place, row in enumerate(order.tolist()):
        if width[row]:
            met = clock.reshape(steps, -1, width[row])
            last[place] = met.argmax(axis=2)
            met[:] = met.max(axis=2, keepdims=True) + peak[row]
        else:
            clock += seconds[row]
    device, each = clock.argmax(axis=1), np.arange(steps)
    path = np.zeros((order.size, steps), np.int64)
    for place in range(order.size - 1, -1, -1):
        path[place] = device
        wide = width[order[place]]
        if wide:
            run = device // wide
            path[place] = run * wide + longest[order[place]][each, run]
            device = run * wide + last[place][each, run]
    return np.ascontiguousarray(path.T)


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
    place = np.arange(path.size), path
    spent = by_resource(table, price, place)
    for reason, values in (beyond or {}).items():
        spent[reason] = spent.get(reason, 0.0) + values[place]
    whole = seconds[place]
    spent = {reason: np.where(whole > 0, values, 0.0) for reason, values in spent.items()}
    if apart:
        uneven = np.where(whole > 0, imbalance(table, seconds)[place], 0.0)
        kept = 1 - uneven / np.where(whole > 0, whole, 1.0)
        spent = {reason: kept * values for reason, values in spent.items()}
        spent[IMBALANCE] = uneven
    names, part = np.unique([op.part for op in table.operators], return_inverse=True)
    sums = {reason: np.bincount(part, values) for reason, values in spent.items()}
    why = {
        f"{name}: {reason}": float(values[n])
        for n, name in enumerate(names.tolist())
        for reason, values in sums.items()
        if values[n]
    }
    return dict(sorted(why.items(), key=lambda item: -item[1]))


def imbalance(table: OperatorTable, seconds: Floats) -> Floats:
    """By how many of its seconds a device exceeds the mean of its stage, idle devices included, in
    operators of the routed experts; 0 in others. seconds: `[operators, ..., devices]`."""
    out = np.zeros(seconds.shape)
    rows = np.array([op.part == "experts" and not op.group for op in table.operators])
    stages = seconds[rows].reshape(*seconds[rows].shape[:-1], -1, table.stage_devices)
    over = np.maximum(stages - stages.mean(axis=-1, keepdims=True), 0.0)
    out[rows] = over.reshape(seconds[rows].shape)
    return out


def by_resource(table: OperatorTable, price: Price, place: Any = ...) -> dict[str, Floats]:
    """The operators' prices by resource, at `place`: an index of `[operators, devices]`, which may
    leave out devices but no operators."""
    at = Price(**{name: getattr(price, name)[place] for name in Price.__struct_fields__})
    read, one = table.weight_bytes[place], table.token_weight_bytes[place]
    first = np.divide(one, read, out=np.ones_like(read), where=read > 0)
    joins = np.array([bool(operator.group) for operator in table.operators])
    joins = joins.reshape(-1, *(1,) * (at.tensor.ndim - 1))
    memory = at.memory
    tensor = ~joins & (at.tensor >= memory) & (at.tensor >= at.cache)
    cache = ~joins & ~tensor & (at.cache > memory)
    moved = ~joins & ~tensor & ~cache
    return {
        LINK: joins * at.link,
        LATENCY: joins * at.latency,
        TENSOR: tensor * at.tensor,
        CACHE: cache * at.cache,
        WEIGHTS: moved * (at.weights * first),
        MORE_EXPERTS: moved * (at.weights * np.maximum(0.0, 1 - first)),
        KV: moved * at.kv,
        ACTIVATIONS: moved * at.activations,
    }


def limiter_of(why: dict[str, float]) -> str:
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return max(sums, key=lambda resource: sums[resource])
