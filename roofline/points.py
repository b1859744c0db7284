"""A million design points at once: the compiled twin of `operators` followed by `bound`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput
from ..workload import make_step
from .bound import joules_of, spent_by_resource
from .fit import fit, resident
from .machines import COMPUTED, UNIT, Machines
from .operators import operators
from .prices import LACKING
from .reasons import ACTIVATIONS, CACHE, KV, LATENCY, LINK, TENSOR, WEIGHTS
from .setups import MULTIPLIED, Setup, Shapes, flatten, regular
from .table import Floats

RESOURCES = (TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY)
"""The columns of `Points.by_resource`, named as in `Estimate.by_resource`. What that calls
imbalance counts here with what the busiest device spends it on."""


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """One number per point: seconds of the step `[points]`, their split by resource
    `[points, RESOURCES]`, the bytes to spare on the fullest device `[points]` (negative: it does
    not fit), and the joules of the step on all devices `[points]`: NaN where a published constant
    lacks, or where they were not asked for."""

    seconds: NDArray[np.float64]
    by_resource: NDArray[np.float64]
    spare_bytes: NDArray[np.float64]
    energy_j: NDArray[np.float64]

    def limiter(self) -> list[str]:
        """The resource with the largest share of each point."""
        return [RESOURCES[i] for i in np.argmax(self.by_resource, axis=1)]


def points(
    setups: Sequence[Setup],
    index: ArrayLike,
    *,
    batch: ArrayLike = 0,
    context: ArrayLike = 0,
    prefill: ArrayLike = 0,
    cached: ArrayLike = 0,
    prefill_requests: ArrayLike = 1,
    machines: Machines | None = None,
    machine: ArrayLike | None = None,
    energy: bool = False,
) -> Points:
    """The roofline of many steps.

    index: `[points]`, the setup of each point; the others: whole numbers `[points]` or one for
    all, as in `workload.make_step`. machines: the numbers of machines in place of those of the
    setups' systems, whose tiers they must have; machine: `[points]`, the row of each point, its own
    by default. energy: joules too. Equal to `bound(operators(...))` of each point. Setups of
    unequal devices, of routing or experts of their own, or whose stages cross the tiers unevenly,
    take that plain path, and their own system's numbers: with machines in its place they are
    refused.
    """
    which = _whole("index", index, np.size(index)).astype(np.int64)
    if which.max(initial=-1) >= len(setups):
        raise BadInput(f"must lie in 0..{len(setups) - 1}", key="index")
    asked = {
        "batch": batch,
        "context": context,
        "prefill": prefill,
        "cached": cached,
        "prefill_requests": prefill_requests,
    }
    columns = {key: _whole(key, value, which.size) for key, value in asked.items()}
    if (columns["prefill_requests"] < 1).any():
        raise BadInput("must be at least 1", key="prefill_requests")
    if ((columns["batch"] == 0) & (columns["prefill"] == 0)).any():
        raise BadInput("computes no token: give a batch or a prefill", key="points")
    plain = np.array([not regular(setup) for setup in setups])
    out = Points(
        seconds=np.zeros(which.size),
        by_resource=np.zeros((which.size, len(RESOURCES))),
        spare_bytes=np.zeros(which.size),
        energy_j=np.full(which.size, np.nan),
    )
    if not plain.all():
        places = None if machines is None else _rows(machines, machine, which.size)
        _fast(setups, plain, which, columns, machines, places, energy, out)
    rest = np.flatnonzero(plain[which]).tolist()
    if rest and machines is not None:
        raise BadInput(
            "has unlike devices, routing or experts of its own, or a split that crosses its tiers "
            "unevenly: its numbers cannot be given apart",
            key=setups[which[rest[0]]].system.name,
        )
    _by_tables(setups, rest, which, columns, energy, out)
    return out


def _whole(key: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    try:
        column = np.broadcast_to(np.asarray(value), (size,))
    except ValueError:
        raise BadInput(f"needs one number or {size}, got {np.shape(value)}", key=key) from None
    if (
        column.dtype.kind not in "iuf"
        or not (np.isfinite(column) & (column >= 0) & (column == np.floor(column))).all()
    ):
        raise BadInput("must hold whole numbers that are not negative", key=key)
    return np.ascontiguousarray(column, np.float64)


def _rows(machines: Machines, machine: ArrayLike | None, size: int) -> NDArray[np.int64]:
    """The row of each point."""
    given = np.arange(size) if machine is None else machine
    rows = _whole("machine", given, size).astype(np.int64)
    if rows.max(initial=-1) >= len(machines):
        raise BadInput(f"must lie in 0..{len(machines) - 1}", key="machine")
    return rows


def _fast(
    setups: Sequence[Setup],
    plain: NDArray[np.bool_],
    which: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    machines: Machines | None,
    rows: NDArray[np.int64] | None,
    energy: bool,
    out: Points,
) -> None:
    from .walk import walk, weights

    kept, shape_of = _distinct(setups, plain)
    shapes = flatten(kept)
    if machines is None or rows is None:
        machines, of_setup = _own(setups, plain)
        rows = of_setup[which]
    which = shape_of[which]
    if shapes.tier.shape[1] > machines.link.shape[1]:
        raise BadInput(
            f"state {machines.link.shape[1]} tiers of links for setups of {shapes.tier.shape[1]}",
            key="machines",
        )
    _multiplied(kept, shapes, which, machines, rows)
    held = np.zeros(shapes.counts.shape[:2])
    shaped: list[Any] = [shapes.shape, shapes.layer, shapes.mixer, shapes.counts, shapes.format]
    shaped += [np.ones(2, UNIT), np.ones((2, len(COMPUTED))), held]
    weights(*shaped)
    arguments: list[Any] = [which, rows, *columns.values(), energy]
    arguments += [getattr(shapes, name) for name in shapes.__struct_fields__]
    arguments += [held, *(getattr(machines, name) for name in machines.__struct_fields__)]
    arguments += [out.seconds, out.by_resource, out.spare_bytes, out.energy_j]
    walk(*arguments)


def _own(setups: Sequence[Setup], plain: NDArray[np.bool_]) -> tuple[Machines, NDArray[np.int64]]:
    """The numbers of the setups' own systems, and the row of each setup: 0 on the plain path."""
    fast = [setups[i].system for i in np.flatnonzero(~plain).tolist()]
    systems = {id(system): system for system in fast}
    place = {key: row for row, key in enumerate(systems)}
    rows = np.array([place.get(id(setup.system), 0) for setup in setups])
    return Machines.joined([Machines.of(system) for system in systems.values()]), rows


def _distinct(
    setups: Sequence[Setup], plain: NDArray[np.bool_]
) -> tuple[list[Setup], NDArray[np.int64]]:
    """One of the setups for each shape, and the shape of each setup: -1 for the plain path."""
    kept: list[Setup] = []
    place = np.full(len(setups), -1)
    seen: dict[tuple[object, ...], int] = {}
    for i in np.flatnonzero(~plain).tolist():
        setup = setups[i]
        sizes = tuple(tier.size for tier in setup.system.tiers)
        key = (id(setup.model), setup.parallel, sizes, len(setup.system.devices))
        if key not in seen:
            seen[key] = len(kept)
            kept.append(setup)
        place[i] = seen[key]
    return kept, place


def _multiplied(
    kept: Sequence[Setup],
    shapes: Shapes,
    which: NDArray[np.int64],
    machines: Machines,
    rows: NDArray[np.int64],
) -> None:
    """Raises BadInput where no unit of a machine multiplies a format of its model."""
    lacks = np.asarray((machines.peak <= LACKING).all(axis=1))
    if not lacks.any():
        return
    fast = np.flatnonzero(which >= 0)
    for column, part in enumerate(MULTIPLIED):
        wrong = lacks[rows[fast], shapes.format[which[fast], column]]
        if wrong.any():
            setup = kept[int(which[fast[np.argmax(wrong)]])]
            form = getattr(setup.model.formats, part)
            raise BadInput(f"has no peak for {form}", key="peak_flops_per_s")


def _by_tables(
    setups: Sequence[Setup],
    rest: Sequence[int],
    which: NDArray[np.int64],
    columns: dict[str, NDArray[np.float64]],
    energy: bool,
    out: Points,
) -> None:
    """Points of the plain path; those that share their operators together."""
    alike: dict[tuple[object, tuple[int, ...]], list[tuple[int, Setup]]] = {}
    for point in rest:
        setup, load = setups[which[point]], tuple(int(v[point]) for v in columns.values())
        alike.setdefault((_listed(setup), load), []).append((point, setup))
    held: dict[object, Floats] = {}
    for (listed, load), some in alike.items():
        one = some[0][1]
        if listed not in held:
            held[listed] = resident(one.model, one.system, one.parallel, one.expert_map)
        _slow(some, dict(zip(columns, load, strict=True)), held[listed], energy, out)


def _listed(setup: Setup) -> tuple[object, ...]:
    """What decides the operators of a step: machines that differ elsewhere share them."""
    tiers = tuple((tier.name, tier.size, tier.link.latency_s) for tier in setup.system.tiers)
    own = id(setup.model), id(setup.chance), id(setup.expert_map)
    return *own, setup.parallel, tiers, len(setup.system.devices)


def _slow(
    alike: Sequence[tuple[int, Setup]],
    load: dict[str, int],
    weights: Floats,
    energy: bool,
    out: Points,
) -> None:
    """Points, and the setup of each, that share their operators. weights: what devices hold."""
    setup = alike[0][1]
    model, parallel, experts = setup.model, setup.parallel, setup.expert_map
    step = make_step(model, chance=setup.chance, **load)
    table = operators(model, step, setup.system, parallel, experts)
    needed = fit(model, table, setup.system, parallel, experts, weights).needed
    for point, one in alike:
        held = [device.memory.capacity_bytes for device in one.system.devices[: table.devices]]
        spent = spent_by_resource(table, one.system)
        out.by_resource[point] = [spent.get(name, 0.0) for name in RESOURCES]
        out.seconds[point] = out.by_resource[point].sum()
        out.spare_bytes[point] = float((np.array(held) - needed).min())
        if energy:
            joules = joules_of(table, one.system)
            out.energy_j[point] = np.nan if joules is None else joules
