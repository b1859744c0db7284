"""Rows that share a model, a machine's build and a split: each is built once for all of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.parquet import Columns
from ...hardware import System
from ...roofline.setups import Setup
from ...workload import MoEModel
from .paths import TIMES
from .words import model_of, split_of, system_of

Ints = NDArray[np.int64]

_MODEL = ("model", "weights", "kv")
_SYSTEM = ("on", "device", "count", "per_node", "link", "network")


class Groups(NamedTuple):
    """setups: one a group that can be built; of_row `[rows]`: the setup of each row, -1 where it
    cannot be built; faults `[rows]`: why it cannot, objects, '' where it can."""

    setups: list[Setup]
    of_row: Ints
    faults: NDArray[Any]


def grouped(shared: Columns, rows: int, here: Path) -> Groups:
    """The groups of rows that are equal in all these columns."""
    first, group = alike(shared.values(), rows)
    setups: list[Setup] = []
    number, fault_of = np.full(first.size, -1), np.full(first.size, "", object)
    for g, row in enumerate(first.tolist()):
        told = {name: plain(column[row]) for name, column in shared.items()}
        try:
            setups.append(_setup(told, here))
        except BadInput as fault:
            fault_of[g] = said(fault)
        else:
            number[g] = len(setups) - 1
    return Groups(setups, number[group], fault_of[group])


def alike(columns: Iterable[NDArray[Any]], rows: int) -> tuple[Ints, Ints]:
    """The first row of each group of rows that are equal in all columns, and the group of each
    row, numbered in the order of first rows."""
    codes = np.zeros(rows, np.int64)
    for column in columns:
        if column.dtype == object:
            seen: dict[Any, int] = {}
            each = np.array([seen.setdefault(v, len(seen)) for v in column.tolist()], np.int64)
        else:
            each = np.unique(column, return_inverse=True)[1]
        if each.any():
            # Numbered anew each time, so that they stay small.
            codes = np.unique(codes * (each.max() + 1) + each, return_inverse=True)[1]
    _, first, group = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    return first[order], place[group]


def plain(value: Any) -> Any:
    """A number or text of Python's own."""
    return value.item() if hasattr(value, "item") else value


def said(fault: BadInput) -> str:
    """The fault without the file that it stands in."""
    return str(BadInput(fault.what, key=fault.key, value=fault.value))


def system_told(told: Mapping[str, Any], here: Path) -> System:
    """The machine of a row's words, whatever the others say. Raises BadInput."""
    return _system(_those(told, _SYSTEM, "system"), here)


def _setup(told: Mapping[str, Any], here: Path) -> Setup:
    model = _model(_those(told, _MODEL, "model"), here)
    system = system_told(told, here)
    return Setup(model=model, system=system, parallel=split_of(told, system, model))


def _those(
    told: Mapping[str, Any], words: tuple[str, ...], part: str
) -> tuple[tuple[str, Any], ...]:
    """The words of one part, its paths among them, as a key of a memo."""
    return tuple(
        (name, value)
        for name, value in told.items()
        if name in words or name.removeprefix(TIMES).startswith(f"{part}.")
    )


@functools.lru_cache(512)
def _model(words: tuple[tuple[str, Any], ...], here: Path) -> MoEModel:
    return model_of(dict(words), here)


@functools.lru_cache(512)
def _system(words: tuple[tuple[str, Any], ...], here: Path) -> System:
    return system_of(dict(words), here)
