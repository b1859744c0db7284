"""Rows: measured rows of one kernel family and what its model is asked, as arrays over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...measured import Measurements
from ...simulator.gpu import AnyConstants, Machine
from ...simulator.gpu.kernels import KERNELS, Kernel

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_] | NDArray[np.int64]
T = TypeVar("T", bound=msgspec.Struct)


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one kernel family: `[rows]` arrays.

    family: 'backend/kernel_source/dtype'. kernel: the key of KERNELS that predicts it. where: the
    rows' places in their table. shape: a number for each distinct shape, however it is split and
    loaded; fold: which part of a cross-validation leaves it out. measured_s: times. asked: the
    kernel's call, a struct of arrays. machine: who ran it.
    """

    family: str
    kernel: str
    where: NDArray[np.int64]
    shape: NDArray[np.int64]
    measured_s: Floats
    asked: Any
    machine: Machine
    fold: NDArray[np.int64] = msgspec.field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return int(self.where.size)

    @property
    def model(self) -> Kernel:
        return KERNELS[self.kernel]

    def take(self, kept: Chosen) -> Rows:
        """Some of the rows, by mask or place."""
        return taken(self, kept)

    def terms(self, constants: AnyConstants) -> dict[str, Floats]:
        """The tile model's seconds of each row, part by part."""
        return self.model.terms(self.asked, self.machine, constants)

    def seconds(self, constants: AnyConstants) -> Floats:
        """The tile model's time of each row."""
        return np.asarray(sum(self.terms(constants).values()))


def taken(part: T, kept: Chosen) -> T:
    """A struct with only some of the rows of each of its arrays, and of the structs in it."""
    changed: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, np.ndarray):
            changed[name] = value[kept]
        elif isinstance(value, msgspec.Struct):
            changed[name] = taken(value, kept)
    return msgspec.structs.replace(part, **changed)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of several families, or of one family on several GPUs, one after another.

    Names are the first one's. Shapes keep their numbers, so rows of several tables do not share
    them.
    """
    return _joined(parts, [len(part) for part in parts])


def _joined(parts: Sequence[T], sizes: Sequence[int]) -> T:
    """Arrays one after another; a number that differs from part to part as such an array."""
    changed: dict[str, Any] = {}
    for name in parts[0].__struct_fields__:
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], msgspec.Struct):
            changed[name] = _joined(values, sizes)
        elif isinstance(values[0], float) and len(set(values)) == 1:
            continue
        elif isinstance(values[0], np.ndarray | float):
            arrays = [
                value if isinstance(value, np.ndarray) else np.full(size, value)
                for value, size in zip(values, sizes, strict=True)
            ]
            changed[name] = np.concatenate(arrays)
    return msgspec.structs.replace(parts[0], **changed)


def family_names(table: Measurements) -> NDArray[np.str_]:
    """'backend/kernel_source/dtype' of each row."""
    for name in ("backend", "kernel_source"):
        if name not in table.columns:
            raise BadInput("is needed to tell kernel families apart", key=name)
        blank = np.char.strip(table[name].astype(str)) == ""
        if blank.any():
            raise BadInput(
                "must not be empty: it tells kernel families apart",
                key=f"row {int(np.argmax(blank)) + 1}, column {name}",
            )
    parts = [table[name].astype(str) for name in ("backend", "kernel_source", "dtype")]
    joined_names = np.char.add(
        np.char.add(parts[0], "/"), np.char.add(np.char.add(parts[1], "/"), parts[2])
    )
    return np.asarray(joined_names)


def shape_numbers(table: Measurements, columns: Sequence[str]) -> NDArray[np.int64]:
    """A number for each distinct combination of the columns' values: `[rows]`."""
    values = np.stack([table[name].astype(np.int64) for name in columns])
    return np.unique(values, axis=1, return_inverse=True)[1].ravel().astype(np.int64)
