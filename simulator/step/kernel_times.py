"""Seconds of the kernels of many steps, those of one family in one go.

Devices that are alike in a step are priced once, and calls of one family of kernels, from whatever
operators, devices and steps, lie side by side in one array: hardly more work for a hundred steps
than for one. Every call is priced by itself, so no answer depends on what stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...base import BadInput
from ...hardware import AnyDevice, System
from ...roofline import OperatorTable
from ...roofline.prices import Price, kinds
from ...roofline.shapes import Core, Matrix, Routed
from ..gpu import ExpertLoad, Machine
from ..gpu.choice import Chosen, choose
from ..gpu.ladder import COLD, EFFICIENCY, FLOOR, REASONS, at_ends, ladder
from ..gpu.stream import OPERATORS, StreamCall, StreamConstants, stream_terms
from .kernel_calls import Calls, Floats, Ints, joined, kernels_of, load_on

STREAMS = {"norm": "layer-norm", "embedding": "embedding"}
"""Part of the model -> the operator whose constants its bytes are moved with; others get middling
ones."""
WITHIN_EXPERTS = ("experts.down", "experts.combine")
"""Operators that the kernels of `experts.gate_up` do: a fused layer is timed as one."""


class Asked(NamedTuple):
    """A step's operators on a system, and their roofline there."""

    table: OperatorTable
    system: System
    price: Price


class KernelTimes(NamedTuple):
    """What the kernels of a step take. Devices of one class have the same work; first: a device of
    each class, `[classes]`; of: the class of each, `[devices]`. seconds: above nothing,
    `[REASONS, operators, classes]`, 0 for what has no kernel. ends: the same summed and multiplied
    by the factors of the 80% interval, `[2, operators, classes]`. families: by part of the model
    and kernel."""

    first: Ints
    of: Ints
    seconds: Floats
    ends: Floats
    families: dict[str, str]


def kernel_times(steps: Sequence[Asked], backend: str = "") -> list[KernelTimes | BadInput]:
    """The times of each step's kernels, or why it has none; backend as in `tile`."""
    book = _Book(backend)
    layouts: list[_Layout | BadInput] = []
    for step in steps:
        try:
            layouts.append(book.enter(step))
        except BadInput as fault:
            layouts.append(fault)
    seconds, ends = book.priced()
    return [one if isinstance(one, BadInput) else one.times(seconds, ends) for one in layouts]


class _Layout(NamedTuple):
    """Where the answers for a step lie in the book: `[operators, classes]` from `start` on. same:
    the operator whose kernels each one shares, `[operators]`."""

    start: int
    first: Ints
    of: Ints
    same: Ints
    families: dict[str, str]

    def times(self, seconds: Floats, ends: Floats) -> KernelTimes:
        size = self.same.size * self.first.size
        own = slice(self.start, self.start + size)
        shape = self.same.size, self.first.size
        return KernelTimes(
            first=self.first,
            of=self.of,
            seconds=seconds[:, own].reshape(-1, *shape)[:, self.same],
            ends=ends[:, own].reshape(-1, *shape)[:, self.same],
            families=self.families,
        )


class _Batch(NamedTuple):
    """Calls of one family; for each, where its answer belongs and the number of its machine."""

    chosen: Chosen
    calls: list[Calls]
    slots: list[Ints]
    machines: list[int]


class _Book:
    """Calls gathered by family, to be priced together."""

    def __init__(self, backend: str) -> None:
        self.backend, self.size = backend, 0
        self.batches: dict[tuple[Any, ...], _Batch] = {}
        self.streams: dict[str, list[tuple[Floats, Floats, Ints, Ints]]] = {}
        self.chosen: dict[tuple[Any, ...], Chosen] = {}
        self.machines: list[Machine] = []
        self.numbers: dict[tuple[int, str], int] = {}

    def enter(self, step: Asked) -> _Layout:
        table, total = step.table, step.price.total
        devices = kinds(step.system, table.devices)
        kind_of = np.zeros(table.devices, np.int64)
        for number, (_, ranks) in enumerate(devices):
            kind_of[ranks] = number
        loads = _loads(table)
        first, of = _classes(table, step.price, kind_of, loads)
        busy = total[:, first] > 0
        same = np.arange(len(table.operators))
        known: dict[object, int] = {}
        layout = _Layout(self.size, first, of, same, {})
        self.size += busy.size  # a step that is refused below keeps its place
        streams: list[int] = []
        for i, operator in enumerate(table.operators):
            if operator.group or operator.name in WITHIN_EXPERTS or not busy[i].any():
                continue
            if operator.shape is None:
                streams.append(i)
                continue
            key = id(operator.shape), operator.dtype, busy[i].tobytes()
            same[i] = known.setdefault(key, i)
            if same[i] != i:
                continue
            for number, (device, _) in enumerate(devices):
                at = np.flatnonzero(busy[i] & (kind_of[first] == number))
                if at.size:
                    self._enter(table, i, device, at, layout, loads.get(id(operator.shape)))
        for number, (device, _) in enumerate(devices):
            at = np.flatnonzero(kind_of[first] == number)
            self._stream(table, streams, device, at, layout, busy)
        return layout

    def _enter(
        self,
        table: OperatorTable,
        i: int,
        device: AnyDevice,
        at: Ints,
        layout: _Layout,
        load: ExpertLoad | None,
    ) -> None:
        """The calls of an operator on classes `at`, whose devices are of one kind."""
        operator = table.operators[i]
        shape: Any = operator.shape
        places = layout.first[at] % table.stage_devices
        begin = layout.start + i * layout.first.size
        for kernel in kernels_of(operator):
            here, held = places, at
            if isinstance(shape, Core):
                some = shape.requests[kernel.requests, places] > 0
                here, held = places[some], at[some]
                if not here.size:
                    continue
            asked = (device.name, kernel.table, kernel.name, operator.dtype)
            more = kernel.words, kernel.group
            if (*asked, *more) not in self.chosen:
                self.chosen[(*asked, *more)] = choose(
                    *asked, self.backend, words=kernel.words, group=kernel.group
                )
            chosen = self.chosen[(*asked, *more)]
            layout.families[f"{operator.part}, {kernel.name}"] = chosen.family
            cached = shape.kv_size if isinstance(shape, Core) else 0.0
            key = kernel.name, device.name, chosen.family, operator.dtype, cached
            machine = self._machine(device, kernel.peak)
            batch = self.batches.setdefault(key, _Batch(chosen, [], [], []))
            batch.calls.append(Calls(operator, kernel, here, load))
            batch.slots.append(begin + held)
            batch.machines.append(machine)

    def _machine(self, device: AnyDevice, dtype: str) -> int:
        key = id(device), dtype
        if key not in self.numbers:
            self.machines.append(Machine.of(device, dtype))
            self.numbers[key] = len(self.machines) - 1
        return self.numbers[key]

    def _stream(
        self,
        table: OperatorTable,
        rows: list[int],
        device: AnyDevice,
        at: Ints,
        layout: _Layout,
        busy: Any,
    ) -> None:
        """Operators that only move bytes; their rows are the tokens of a replica."""
        tokens = max(1.0, table.tokens * table.tp / table.stage_devices)
        by_name: dict[str, list[int]] = {}
        for i in rows:
            by_name.setdefault(STREAMS.get(table.operators[i].part, ""), []).append(i)
        for name, some in by_name.items():
            within = np.ix_(np.array(some), layout.first[at])
            moved = table.activation_bytes[within] + table.weight_bytes[within]
            moved += table.kv_bytes[within]
            slots = layout.start + np.array(some)[:, None] * layout.first.size + at
            kept = busy[np.ix_(np.array(some), at)]
            moved = np.maximum(moved[kept], 1.0)
            number = self._machine(device, table.operators[some[0]].dtype)
            once = np.ones(moved.size)
            entry = moved, tokens * once, slots[kept], np.full(moved.size, number)
            self.streams.setdefault(name, []).append(entry)

    def priced(self) -> tuple[Floats, Floats]:
        """Seconds by reason and the ends of their interval, for every slot. Families go in the
        order of their names, so that sums do not depend on which steps came first."""
        seconds, ends = np.zeros((len(REASONS), self.size)), np.zeros((2, self.size))
        for key in sorted(self.batches):
            batch = self.batches[key]
            slots = np.concatenate(batch.slots)
            numbers = np.repeat(batch.machines, [part.size for part in batch.slots])
            constants = at_ends(batch.chosen.constants, COLD.get(key[0], {}))
            call = joined(batch.calls)
            found = ladder(
                key[0], call, self._side_by_side(numbers), constants, np.zeros(slots.size)
            )
            for row, reason in enumerate(REASONS):
                np.add.at(seconds[row], slots, found[reason])
            whole = np.asarray(sum(found[reason] for reason in REASONS))
            np.add.at(ends[0], slots, batch.chosen.low * whole)
            np.add.at(ends[1], slots, batch.chosen.high * whole)
        for name, entries in self.streams.items():
            moved, rows, slots, numbers = (
                np.concatenate(part) for part in zip(*entries, strict=True)
            )
            constants_ = OPERATORS.get(name, StreamConstants())
            machine = self._side_by_side(numbers)
            terms = stream_terms(StreamCall(moved_bytes=moved, rows=rows), machine, constants_)
            seconds[REASONS.index(FLOOR), slots] = terms["launch"]
            seconds[REASONS.index(EFFICIENCY), slots] = terms["stream"] + terms["few_rows"]
            ends[:, slots] = terms["launch"] + (terms["stream"] + terms["few_rows"])
        return seconds, ends

    def _side_by_side(self, numbers: Ints) -> Machine:
        """The machines of so many calls as one, its figures `[calls]`."""
        return Machine(
            **{
                name: np.array([getattr(one, name) for one in self.machines], float)[numbers]
                for name in Machine.__struct_fields__
            }
        )


def _loads(table: OperatorTable) -> dict[int, ExpertLoad]:
    """The load of every routed layer that differs, by the id of its shape."""
    found: dict[int, ExpertLoad] = {}
    for operator in table.operators:
        if isinstance(operator.shape, Routed) and id(operator.shape) not in found:
            found[id(operator.shape)] = load_on(operator.shape, table.stage_devices)
    return found


def _classes(
    table: OperatorTable, price: Price, kind_of: Ints, loads: dict[int, ExpertLoad]
) -> tuple[Ints, Ints]:
    """Devices that are asked the same: one of each class, and the class of every device."""
    stages = table.devices // table.stage_devices
    per_place: list[Floats] = []
    for shape in {id(operator.shape): operator.shape for operator in table.operators}.values():
        if isinstance(shape, Matrix):
            per_place.append(shape.rows[None])
        elif isinstance(shape, Core):
            per_place.append(shape.requests)
        elif isinstance(shape, Routed):
            load = loads[id(shape)]
            per_place += [load.rows[None], load.touched[None], load.tiles.T]
    seen = [price.total, price.weights, table.moved_bytes, kind_of[None].astype(float)]
    if per_place:
        seen.append(np.tile(np.concatenate(per_place), (1, stages)))
    asked = np.concatenate(seen)
    first: list[int] = []
    of = np.full(table.devices, -1)
    while (left := np.flatnonzero(of < 0)).size:
        alike = (asked[:, left] == asked[:, left[:1]]).all(axis=0)
        of[left[alike]] = len(first)
        first.append(int(left[0]))
    return np.array(first), of
