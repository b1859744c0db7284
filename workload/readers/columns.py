"""Columns from outside, checked and brought to the types of a RoutingTrace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..trace import NOTHING

MOST_EXPERTS = np.iinfo(np.int16).max
MOST_CELLS = 2**30
"""Ids that one reading may hold."""
MOST_COUNTS = 2**27
T = TypeVar("T")


def built(kind: Callable[..., T], path: str | Path, **fields: Any) -> T:
    """A RoutingTrace or RoutingCounts; what it refuses is said of the file."""
    try:
        return kind(**fields)
    except BadInput as fault:
        raise BadInput(fault.what, file=path, key=fault.key, value=fault.value) from None


def expert_ids(values: NDArray[Any], experts: int, file: str | Path) -> NDArray[np.int16]:
    """Ids as int16; values that int16 cannot hold are refused, never wrapped."""
    if values.dtype.kind not in "iu":
        raise BadInput(
            f"must hold whole numbers, holds {values.dtype}", file=file, key="expert_ids"
        )
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < -1 or high >= experts:
        wrong = high if high >= experts else low
        raise BadInput(
            f"allowed are 0..{experts - 1}, and -1 for none",
            file=file,
            key="expert_ids",
            value=wrong,
        )
    if experts > 1 and not values.any():
        raise BadInput(NOTHING, file=file, key="expert_ids")
    return values.astype(np.int16)


def whole(values: NDArray[Any], key: str, file: str | Path) -> NDArray[np.int64]:
    """A column of whole numbers."""
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise BadInput(
            f"must be one row of whole numbers, is {values.dtype} {values.shape}",
            file=file,
            key=key,
        )
    if values.size and values.dtype.kind == "u" and int(values.max()) > np.iinfo(np.int64).max:
        raise BadInput("holds a number beyond 64 bits", file=file, key=key)
    return values.astype(np.int64)


def experts_of(value: object, file: str | Path) -> int:
    """The number of experts that a file states."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_EXPERTS:
        raise BadInput(
            f"must be a whole number from 1 to {MOST_EXPERTS}",
            file=file,
            key="experts",
            value=value,
        )
    return value


def counted(values: NDArray[Any], axes: int, file: str | Path) -> NDArray[np.float64]:
    """Counts as doubles, with the number of axes that they must have."""
    if values.dtype.kind not in "iuf" or values.ndim != axes or values.shape[-1] > MOST_EXPERTS:
        raise BadInput(
            f"needs counts with {axes} axes, got {values.dtype} {values.shape}",
            file=file,
            key="counts",
        )
    with np.errstate(over="ignore"):  # wider floats may not fit; the check says so
        counts = values.astype(np.float64)
    if not np.isfinite(counts).all():
        raise BadInput("must be finite", file=file, key="counts")
    return counts


def nested_ids(values: object, file: str | Path, key: str) -> NDArray[np.int64]:
    """Lists in lists of whole numbers as an array with three axes."""
    try:
        ids = np.array(values)
    except (ValueError, OverflowError):
        raise BadInput("holds lists of unequal length", file=file, key=key) from None
    return cube(ids, file, key)


def cube(ids: NDArray[Any], file: str | Path, key: str) -> NDArray[np.int64]:
    """An array of ids with three axes; what no expert has is refused before it could wrap."""
    if ids.ndim != 3 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise BadInput(
            f"needs three axes of whole numbers, got {ids.dtype} {ids.shape}", file=file, key=key
        )
    low, high = int(ids.min()), int(ids.max())
    if low < -1 or high >= MOST_EXPERTS:
        raise BadInput(
            f"allowed are 0..{MOST_EXPERTS - 1}, and -1 for none",
            file=file,
            key=key,
            value=low if low < -1 else high,
        )
    return ids.astype(np.int64)


def logical(counts: NDArray[Any], owners: NDArray[Any], file: str | Path) -> NDArray[np.float64]:
    """Counts of logical experts `[windows, layers, experts]` from those of physical ones.

    counts: `[windows, layers, physical]`. owners: `[layers, physical]`, the logical expert in each
    slot; the largest tells the number of experts.
    """
    table = slot_owners(owners, file)
    if counts.dtype.kind not in "iuf" or counts.ndim != 3 or counts.shape[1:] != table.shape:
        raise BadInput(
            f"needs counts [windows, {table.shape[0]}, {table.shape[1]}], got {counts.dtype} "
            f"{counts.shape}",
            file=file,
            key="counts",
        )
    windows, layers, _ = counts.shape
    experts = int(table.max()) + 1
    if windows * layers * experts > MOST_COUNTS:
        raise BadInput("holds more counts than are read", file=file, key="counts")
    out = np.zeros((layers, experts, windows))
    np.add.at(out, (np.arange(layers)[:, None], table), np.moveaxis(counts, 0, 2))
    return np.ascontiguousarray(np.moveaxis(out, 2, 0))


def slot_owners(owners: NDArray[Any], file: str | Path) -> NDArray[np.int64]:
    """The map from physical to logical experts `[layers, physical]`, checked."""
    key = "physical_to_logical_map"
    if owners.dtype.kind not in "iu" or owners.ndim != 2 or owners.size == 0:
        raise BadInput(
            f"needs whole numbers [layers, physical], got {owners.dtype} {owners.shape}",
            file=file,
            key=key,
        )
    if owners.min() < 0 or owners.max() >= MOST_EXPERTS:
        raise BadInput(f"holds an expert outside 0..{MOST_EXPERTS - 1}", file=file, key=key)
    return owners.astype(np.int64)
