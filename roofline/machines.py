"""The numbers of machines apart from their shape: what `points` takes row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import DTYPES, BadInput, unknown
from ..hardware import AnyDevice, Cpu, Gpu, Pim, System
from ..hardware.device import PEAKS, multiplied_as
from .prices import LACKING


def record(*names: str) -> np.dtype[np.void]:
    """A record of float64 fields."""
    return np.dtype([(name, np.float64) for name in names])


UNIT = record("bandwidth", "cache", "cache_bandwidth", "j_per_flop", "j_per_byte")
LINK = record("rate", "latency", "j_per_byte")
COMPUTED = tuple(sorted({form.compute for form in DTYPES.values()}))
"""The columns of `Machines.peak`: what products are computed in."""


class Machines(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of equal devices, a row each.

    units `[rows]`: processors of a device; capacity `[rows]`: bytes of a device. unit `[rows, 2]`:
    records, the joules NaN where either constant lacks. peak `[rows, 2, COMPUTED]`: FLOP/s, wider
    formats standing in for lacking ones. link `[rows, tiers]`: records, joules NaN where unknown.
    """

    units: NDArray[np.int64]
    capacity: NDArray[np.float64]
    unit: NDArray[np.void]
    peak: NDArray[np.float64]
    link: NDArray[np.void]

    def __len__(self) -> int:
        return self.units.size

    @classmethod
    def of(cls, system: System, columns: Mapping[str, ArrayLike] | None = None) -> Machines:
        """The numbers of a system, with a row for each value of the columns: figures by their
        path (see `figures_of`), in every device, one value or `[rows]`. Raises BadInput for a
        path that the system has not; ranges are the caller's to check."""
        given = _columns(system, columns or {})
        rows = next(iter(given.values())).size if given else 1
        sides = _sides(system.devices[0])
        out = cls(
            units=np.full(rows, len(sides)),
            capacity=np.zeros(rows),
            unit=np.zeros((rows, 2), UNIT),
            peak=np.full((rows, 2, len(COMPUTED)), LACKING),
            link=np.zeros((rows, max(len(system.tiers), 1)), LINK),
        )

        def figure(path: str) -> Any:
            return given[path] if path in given else stated(system, path)

        out.capacity[:] = figure("device.memory.capacity_bytes")
        for u, side in enumerate(sides):
            _fill_unit(out.unit[:, u], side, figure)
            names = {*side.device.peak_flops_per_s}
            table = f"{side.path}.peak_flops_per_s."
            names |= {path.removeprefix(table) for path in given if path.startswith(table)}
            for f, wanted in enumerate(COMPUTED):
                name = multiplied_as(wanted, names)
                if name is not None:
                    out.peak[:, u, f] = figure(table + name)
        out.link["rate"] = 1.0
        for t, tier in enumerate(system.tiers):
            path = f"tiers.{tier.name}.link"
            out.link["rate"][:, t] = figure(f"{path}.bandwidth_bytes_per_s")
            out.link["latency"][:, t] = figure(f"{path}.latency_s")
            out.link["j_per_byte"][:, t] = figure(f"{path}.energy_j_per_byte")
        return out

    @classmethod
    def joined(cls, parts: Sequence[Machines]) -> Machines:
        """The rows of all parts, one part after the other."""
        tiers = max(part.link.shape[1] for part in parts)
        link = np.zeros((sum(len(part) for part in parts), tiers), LINK)
        link["rate"] = 1.0
        first = 0
        for part in parts:
            link[first : first + len(part), : part.link.shape[1]] = part.link
            first += len(part)
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in cls.__struct_fields__
            if name != "link"
        }
        return cls(link=link, **columns)


class _Side(NamedTuple):
    """A processor of a device and where its figures stand."""

    device: AnyDevice
    path: str
    bandwidth: str
    energy: str


def _sides(device: AnyDevice) -> list[_Side]:
    """As `prices.units` has them: a PIM's host first."""
    memory = ("device.memory.bandwidth_bytes_per_s", "device.memory.energy_j_per_byte")
    if not isinstance(device, Pim):
        return [_Side(device, "device", *memory)]
    inside = ("device.internal_bandwidth_bytes_per_s", "device.internal_energy_j_per_byte")
    pim = _Side(device, "device", *inside)
    return [pim] if device.host is None else [_Side(device.host, "device.host", *memory), pim]


def _fill_unit(row: NDArray[np.void], side: _Side, figure: Any) -> None:
    row["bandwidth"] = figure(side.bandwidth)
    row["cache_bandwidth"] = np.inf
    if isinstance(side.device, Gpu | Cpu) and side.device.cache is not None:
        row["cache"] = figure(f"{side.path}.cache.capacity_bytes")
        through = np.asarray(figure(f"{side.path}.cache.bandwidth_bytes_per_s"))
        row["cache_bandwidth"] = np.where(np.isnan(through), np.inf, through)
    per_flop, per_byte = figure(f"{side.path}.energy_j_per_flop"), figure(side.energy)
    lacks = np.isnan(per_flop) | np.isnan(per_byte)
    row["j_per_flop"] = np.where(lacks, np.nan, per_flop)
    row["j_per_byte"] = np.where(lacks, np.nan, per_byte)


def figures_of(system: System) -> list[str]:
    """The paths of the figures that `Machines.of` can vary: those that the roofline reads."""
    memory = ("capacity_bytes", "bandwidth_bytes_per_s", "energy_j_per_byte")
    found = [f"device.memory.{name}" for name in memory]
    for side in _sides(system.devices[0]):
        found += [side.bandwidth, side.energy, f"{side.path}.energy_j_per_flop"]
        found += [f"{side.path}.peak_flops_per_s.{name}" for name in sorted(PEAKS)]
        if isinstance(side.device, Gpu | Cpu) and side.device.cache is not None:
            cache = ("capacity_bytes", "bandwidth_bytes_per_s")
            found += [f"{side.path}.cache.{name}" for name in cache]
    for tier in system.tiers:
        link = ("bandwidth_bytes_per_s", "latency_s", "energy_j_per_byte")
        found += [f"tiers.{tier.name}.link.{name}" for name in link]
    return list(dict.fromkeys(found))


def stated(system: System, path: str) -> float:
    """The figure that the system states at a path, NaN for none."""
    first, *steps = path.split(".")
    node: Any = system.devices[0]
    if first == "tiers":
        node = next(tier for tier in system.tiers if tier.name == steps[0])
        steps = steps[1:]
    elif first != "device":
        node, steps = system, [first, *steps]
    for step in steps:
        node = node.get(step) if isinstance(node, dict) else getattr(node, step, None)
        if node is None:
            return np.nan
    return float(node)


def _columns(system: System, columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    allowed = set(figures_of(system)) if columns else set()
    for path in columns:
        if path not in allowed:
            raise unknown("figure", path, allowed, key=system.name)
    try:
        arrays = [np.asarray(column, np.float64) for column in columns.values()]
        shape = np.broadcast_shapes((1,), *(array.shape for array in arrays))
    except ValueError:
        raise BadInput("must be numbers, one or equally many", key=", ".join(columns)) from None
    if len(shape) != 1:
        raise BadInput("must be numbers, one or equally many", key=", ".join(columns))
    return {
        path: np.broadcast_to(array, shape) for path, array in zip(columns, arrays, strict=True)
    }
