"""Measurements: rows that somebody timed, with their units and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from ..base import BadInput, Evidence, unknown
from ..base.dtypes import ALIASES
from .schema import SCHEMAS

Array = np.ndarray[Any, Any]
Condition = str | float | Collection[Any] | Callable[[Array], Array]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows come from, under which licence, and what was changed on the way."""

    source: str
    version: str = ""
    licence: str = ""
    modified: str = ""


class Measurements(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A table of one kind ('moe', 'gemm', 'attention', 'comm', 'serving').

    system: the device that was timed, by its name in the catalogue; '' where the column `system`
    tells it row by row. columns: arrays [rows] by name; times are in seconds and end in _s; number
    formats bear the names of base.dtypes. units: unit by column, '' for counts and words.
    """

    kind: str
    system: str
    columns: dict[str, Array]
    provenance: Provenance
    evidence: Evidence

    def __post_init__(self) -> None:
        if self.kind not in SCHEMAS:
            raise unknown("kind of measurement", self.kind, SCHEMAS, key="kind")
        lengths = {len(column) for column in self.columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"`columns` must be equally long, got lengths {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> Array:
        """The column [rows] of that name."""
        if column not in self.columns:
            raise unknown("column", column, self.columns, key=self.kind)
        return self.columns[column]

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column; '' for counts and words."""
        return {name: unit_of(name) for name in self.columns}

    def where(self, **conditions: Condition) -> Measurements:
        """The rows that meet every condition, in their order.

        A condition is a value, a collection of values, or a function from the column to a mask:
        `where(dtype="bf16", tp=[1, 2], num_tokens=lambda n: n <= 64)`. Number formats may be
        written by any of their names.
        """
        mask = np.ones(len(self), bool)
        schema = SCHEMAS[self.kind]
        for name, condition in conditions.items():
            is_dtype = name in schema and schema[name].holds == "dtype"
            mask &= _met(self[name], condition, is_dtype=is_dtype)
        return self.take(mask)

    def take(self, rows: Array) -> Measurements:
        """The rows of a mask [rows] or of an array of row numbers."""
        return msgspec.structs.replace(
            self, columns={name: column[rows] for name, column in self.columns.items()}
        )

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], Measurements]]:
        """The rows that share the values of the named columns, group by group in sorted order."""
        codes = np.zeros(len(self), np.int64)
        for name in names:
            values, code = np.unique(self[name], return_inverse=True)
            codes = codes * len(values) + code
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows):
                yield tuple(_python(self[name][rows[0]]) for name in names), self.take(rows)

    def records(self) -> Iterator[dict[str, Any]]:
        """Row after row as a plain dictionary."""
        lists = [column.tolist() for column in self.columns.values()]
        for values in zip(*lists, strict=True):
            yield dict(zip(self.columns, values, strict=True))


def unit_of(column: str) -> str:
    """The unit that a column's name ends in."""
    for suffix, unit in (("_bytes", "B"), ("_s", "s"), ("_w", "W")):
        if column.endswith(suffix):
            return unit
    return ""


def concatenated(parts: list[Measurements]) -> Measurements:
    """Tables of one kind as one, with the column `system`; columns that one lacks are left out."""
    if not parts:
        raise BadInput("holds no measurements")
    shared = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    columns: Mapping[str, Array] = {
        name: np.concatenate([part.columns[name] for part in parts]) for name in shared
    }
    systems = np.concatenate([np.full(len(part), part.system, object) for part in parts])
    sources = dict.fromkeys(part.provenance.source for part in parts)
    return msgspec.structs.replace(
        parts[0],
        system="",
        columns={"system": systems, **columns},
        provenance=msgspec.structs.replace(parts[0].provenance, source="; ".join(sources)),
    )


def _met(column: Array, condition: Condition, *, is_dtype: bool) -> Array:
    if callable(condition):
        return np.asarray(condition(column), bool)
    if isinstance(condition, str) or not isinstance(condition, Collection):
        condition = [condition]
    wanted = [ALIASES.get(value, value) if is_dtype else value for value in condition]
    if column.dtype == object:
        allowed = set(wanted)
        return np.fromiter((value in allowed for value in column), bool, len(column))
    return np.isin(column, np.array(wanted))


def _python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
