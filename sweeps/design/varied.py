"""Figures of machines as columns: a row for each point, where `words.system_of` builds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from ...hardware import System
from ...hardware.device import PEAKS
from ...roofline.machines import figures_of, stated
from .paths import ANY_TIER, TIMES, with_system

Floats = NDArray[np.float64]

_LINK = ("bandwidth_bytes_per_s", "latency_s", "energy_j_per_byte")
_PROCESSOR = (
    "energy_j_per_flop",
    "cache.capacity_bytes",
    "cache.bandwidth_bytes_per_s",
    *(f"peak_flops_per_s.{name}" for name in sorted(PEAKS)),
)
_DEVICE = (
    "memory.capacity_bytes",
    "memory.bandwidth_bytes_per_s",
    "memory.energy_j_per_byte",
    "internal_bandwidth_bytes_per_s",
    "internal_energy_j_per_byte",
)
TOTALS = ("area_m2", "power_w", "price_usd_per_hour")
"""Figures of a device that its machine has the sum of, or (but for area) states itself."""

LEAVES = frozenset(
    [f"system.device.{name}" for name in (*_DEVICE, *_PROCESSOR, *TOTALS)]
    + [f"system.device.host.{name}" for name in _PROCESSOR]
    + [f"system.tiers.{ANY_TIER}.link.{name}" for name in _LINK]
    + ["system.power_w", "system.price_usd_per_hour"]
)
"""The figures that are columns, tiers by the name `*`: every other word decides how a machine, a
model or a split is built, once for all rows that share it."""

_TABLES = ("system.device.peak_flops_per_s", "system.device.host.peak_flops_per_s")
_MAY_BE_ZERO = ("energy_j_per_flop", "energy_j_per_byte", "latency_s", "price_usd_per_hour")


def varies(word: str) -> bool:
    """Whether the word is a figure of `LEAVES`, or a factor on one, or on a table of peaks."""
    parts = word.removeprefix(TIMES).split(".")
    if parts[:2] == ["system", "tiers"] and len(parts) > 3:
        parts[2] = ANY_TIER
    path = ".".join(parts)
    return path in LEAVES or (word.startswith(TIMES) and path in _TABLES)


def figures(system: System, words: Columns) -> tuple[dict[str, Floats], NDArray[Any]]:
    """The figures that the words of `varies` set or multiply, by their path without `system.`, and
    why a row's machine cannot be built: '' where it can, objects `[rows]`. Raises BadInput where
    the system lacks a figure, in the words of `with_system`."""
    known = {*figures_of(system), *(f"device.{name}" for name in TOTALS), *TOTALS}
    found: dict[str, Floats] = {}
    for word in sorted(words, key=lambda name: name.startswith(TIMES)):
        factor = word.startswith(TIMES)
        path = word.removeprefix(TIMES).removeprefix("system.")
        column = numbers_of(word, words[word])
        for one in _reached(system, path, found) if factor else [path]:
            before = found[one] if one in found else _value(system, one, known)
            if one not in known or (factor and np.isnan(before).all()):
                with_system(system, word, 1.0)  # says what lacks
                raise BadInput(f"{system.name} has no such figure", key=word)
            found[one] = before * column if factor else column
    rows = max((column.size for column in words.values()), default=0)
    return found, _wrong(system, found, rows)


def numbers_of(word: str, column: NDArray[Any]) -> Floats:
    """The column of a word that takes numbers. Raises BadInput for texts."""
    try:
        return np.asarray(column, np.float64)
    except (TypeError, ValueError):
        raise BadInput("takes numbers", key=word) from None


def _reached(system: System, path: str, found: Iterable[str]) -> list[str]:
    """The figures that a factor multiplies: all of a table of peaks, else the one at the path."""
    if not path.endswith("peak_flops_per_s"):
        return [path]
    side: Any = system.devices[0]
    if path.startswith("device.host."):
        side = getattr(side, "host", None)
    table = {} if side is None else side.peak_flops_per_s
    paths = {f"{path}.{name}" for name in table} | {one for one in found if one.startswith(path)}
    return sorted(paths) or [path]


def _value(system: System, path: str, known: Iterable[str]) -> Any:
    """The figure that the system states, NaN for none."""
    if path not in known:
        return np.nan
    return stated(system, path)


def _wrong(system: System, found: Mapping[str, Floats], rows: int) -> NDArray[Any]:
    out = np.full(rows, "", object)
    for path, column in found.items():
        zero = path.endswith(_MAY_BE_ZERO)
        bad = ~(np.isfinite(column) & ((column >= 0) if zero else (column > 0)))
        if bad.any():
            limit = "at least 0" if zero else "greater than 0"
            out[bad & (out == "")] = f"system.{path}: must be finite and {limit}"
    for side in ("device", "device.host"):
        table = f"{side}.peak_flops_per_s"
        names = [f"{table}.{name}" for name in ("fp8", "bf16")]
        if not any(name in found for name in names):
            continue
        fp8, bf16 = (
            found[name] if name in found else np.full(rows, stated(system, name)) for name in names
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = fp8 / bf16
        dense = ((ratio >= 0.98) & (ratio <= 1.02)) | ((ratio >= 1.96) & (ratio <= 2.04))
        bad = ~(dense | np.isnan(ratio))
        said = f"system.{table}: fp8/bf16 must be 1 or 2, as dense peaks are"
        out[bad & (out == "")] = said
    return out


def totals(system: System, found: Mapping[str, Floats]) -> dict[str, Any]:
    """Area, power and price of the machine, one or a row each: its own figure where it states one,
    else the sum of its devices'; NaN where one lacks."""
    out: dict[str, Any] = {}
    for name in TOTALS:
        own = found.get(name, getattr(system, name, None))
        if own is not None:
            out[name] = own
        elif f"device.{name}" in found:
            out[name] = found[f"device.{name}"] * len(system.devices)
        else:
            each = [getattr(device, name) for device in system.devices]
            out[name] = np.nan if None in each else float(sum(each))
    return out
