"""Thousands of steps at detail 'tile': `tile` without its tables, many steps at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from ...base import BadInput
from ...hardware import System
from ...roofline import Efficiency
from ...roofline.operators import distinct
from ...roofline.prices import prices
from ...roofline.reasons import (
    ACTIVATIONS,
    CACHE,
    IMBALANCE,
    KV,
    LATENCY,
    LINK,
    MORE_EXPERTS,
    TENSOR,
    WEIGHTS,
    by_resource,
    critical_paths,
    imbalance,
)
from ...workload import ExpertMap, MoEModel, Parallel, Step
from ..gpu.ladder import REASONS
from .kernel_calls import Floats, Ints
from .kernel_times import Asked, KernelTimes, kernel_times
from .tiled import spent_of

PRICED = (LINK, LATENCY, TENSOR, CACHE, WEIGHTS, MORE_EXPERTS, KV, ACTIVATIONS)
RESOURCES = (*PRICED, *REASONS, IMBALANCE)
"""The columns of `Tiles.by_resource`, named as in `Estimate.by_resource`."""
MOST_CELLS = 250_000
"""Operators times devices that are priced in one go: some 50 MB."""


class Question(NamedTuple):
    """A step of a model that is split over a system; experts are contiguous without a map."""

    model: MoEModel
    step: Step
    system: System
    parallel: Parallel
    expert_map: ExpertMap | None = None


class Tiles(msgspec.Struct, frozen=True, kw_only=True):
    """One number for each step: its seconds, and the ends of their 80% interval, `[steps]`; the
    seconds by resource, `[steps, RESOURCES]`. faults: why a step has no price; its numbers are NaN.
    """

    seconds: Floats
    low_s: Floats
    high_s: Floats
    by_resource: Floats
    faults: dict[int, BadInput]

    def limiter(self) -> list[str]:
        """The resource with the largest share of each step, as `Estimate.limiter`."""
        sums = np.nan_to_num(self.by_resource)
        sums[:, RESOURCES.index(WEIGHTS)] += sums[:, RESOURCES.index(MORE_EXPERTS)]
        sums[:, RESOURCES.index(MORE_EXPERTS)] = 0.0
        return [RESOURCES[place] for place in np.argmax(sums, axis=1)]


class _Thin(NamedTuple):
    """A step whose equal layers are written once; order: as in `distinct`."""

    number: int
    asked: Asked
    order: Ints

    def alike(self) -> object:
        """Equal for steps that run the same operators, whatever they cost."""
        table = self.asked.table
        kinds = tuple((op.name, op.group) for op in table.operators)
        return kinds, self.order.tobytes(), table.tp, table.stage_devices, table.devices


def tile_many(questions: Iterable[Question], backend: str = "") -> Tiles:
    """What `tile` says of each step, whether it fits or not; equal to it but for the last digits.

    The answer to a question does not depend on the others, to the last bit.
    """
    rows: list[Floats] = []
    faults: dict[int, BadInput] = {}
    for batch in _batches(questions, faults):
        found = kernel_times([one.asked for one in batch], backend)
        priced: dict[object, list[tuple[_Thin, KernelTimes]]] = {}
        for one, times in zip(batch, found, strict=True):
            if isinstance(times, BadInput):
                faults[one.number] = times
            else:
                priced.setdefault(one.alike(), []).append((one, times))
        rows += [_along_path(some) for some in priced.values()]
    numbers = np.concatenate([part[0] for part in rows]) if rows else np.zeros(0)
    size = numbers.size + len(faults)
    table = np.full((len(RESOURCES) + 2, size), np.nan)
    if rows:
        table[:, numbers.astype(np.int64)] = np.concatenate([part[1:] for part in rows], axis=1)
    return Tiles(
        seconds=np.asarray(sum(table[2:])),
        low_s=table[0],
        high_s=table[1],
        by_resource=np.ascontiguousarray(table[2:].T),
        faults=faults,
    )


def _batches(questions: Iterable[Question], faults: dict[int, BadInput]) -> Iterator[list[_Thin]]:
    """Steps that are priced in one go; what cannot be built is left out and named in `faults`."""
    batch: list[_Thin] = []
    cells = 0
    for number, question in enumerate(questions):
        try:
            table, order = distinct(*question)
            price, _ = prices(table, question.system, Efficiency())
        except BadInput as fault:
            faults[number] = fault
            continue
        batch.append(_Thin(number, Asked(table, question.system, price), order))
        cells += table.flops.size
        if cells >= MOST_CELLS:
            yield batch
            batch, cells = [], 0
    if batch:
        yield batch


def _along_path(steps: Sequence[tuple[_Thin, KernelTimes]]) -> Floats:
    """Of steps that run the same operators: number, ends of the interval, and seconds by resource
    along the critical path, `[3 + RESOURCES, steps]`."""
    table, order = steps[0][0].asked.table, steps[0][0].order
    count = len(table.operators), len(steps), table.devices
    seconds, ends = np.empty(count), np.empty((2, *count))
    parts = np.zeros((len(RESOURCES), *count))
    for i, (one, times) in enumerate(steps):
        own, price = one.asked.table, one.asked.price
        spent = spent_of(own, price, times)
        split = by_resource(own, price, (slice(None), times.first))
        both = np.concatenate([[split[name] for name in PRICED], spent.beyond])
        parts[:-1, :, i] = both[:, :, times.of]
        ends[:, :, i] = spent.ends[:, :, times.of]
        seconds[:, i] = (price.total[:, times.first] + sum(spent.beyond))[:, times.of]
    uneven = imbalance(table, seconds)
    parts *= np.where(seconds > 0, 1 - uneven / np.where(seconds > 0, seconds, 1.0), 0.0)
    parts[-1] = np.where(seconds > 0, uneven, 0.0)
    path = critical_paths(table, order, seconds)
    place = order[None, :], np.arange(len(steps))[:, None], path
    spent_s = [np.ascontiguousarray(part[place]).sum(axis=1) for part in (*ends, *parts)]
    return np.stack([np.array([float(one.number) for one, _ in steps]), *spent_s])
