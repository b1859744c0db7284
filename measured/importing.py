"""A user's own table (CSV, CSV.gz or Parquet) against the schema of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..base import BadInput, number_format, unknown
from ..base.dtypes import ALIASES
from .measurements import Array, Measurements, Provenance
from .reading import READERS
from .schema import SCHEMAS, TIME_UNITS, Column


def import_table(
    path: str | Path, kind: str, system: str, *, source: str = "", licence: str = ""
) -> Measurements:
    """The table in `path`, timed on `system` (a name of the catalogue).

    The columns are those of `SCHEMAS[kind]`; a time is in one column that ends in _us, _ms or _s.
    Raises BadInput with file, row (data rows count from 1), column, value and what is allowed.
    """
    if kind not in SCHEMAS:
        raise unknown("kind of measurement", kind, SCHEMAS, key="kind")
    path = Path(path)
    read = READERS.get("".join(path.suffixes[-2:])) or READERS.get(path.suffix)
    if read is None:
        raise BadInput(f"must end in {', '.join(READERS)}", file=path)
    given = read(path, kind)
    schema = SCHEMAS[kind]
    names = _named(given, schema, path)
    columns = {
        name: _checked(given[written], schema[name], written, path)
        for name, written in names.items()
    }
    if not len(next(iter(columns.values()))):
        raise BadInput("holds no rows", file=path)
    _require_whole_shares(columns, path)
    return Measurements(
        kind=kind,
        system=system,
        columns=columns,
        provenance=Provenance(source=source or path.name, licence=licence),
        evidence="measured-published",
    )


WHOLE_SHARES = (("inter", "tp"), ("num_experts", "ep"), ("num_heads", "num_kv_heads"))
"""Columns of which the first is split over the second: nothing may be left over."""


def _require_whole_shares(columns: dict[str, Array], path: Path) -> None:
    """Refuses rows that no device could have run, with the first of them."""
    wrong = {
        f"{whole} must be a multiple of {parts}": columns[whole] % columns[parts] != 0
        for whole, parts in WHOLE_SHARES
        if whole in columns and parts in columns
    }
    if "topk" in columns:
        wrong["topk must not exceed num_experts"] = columns["topk"] > columns["num_experts"]
    for what, rows in wrong.items():
        if rows.any():
            raise BadInput(what, file=path, key=f"row {int(np.argmax(rows)) + 1}")


def _named(given: Iterable[str], schema: dict[str, Column], path: Path) -> dict[str, str]:
    """Schema name -> name in the file; refuses what is missing, unknown or in two units."""
    left = set(given)
    names: dict[str, str] = {}
    for name, column in schema.items():
        spellings = [name]
        if column.holds == "time":
            spellings = [f"{name[:-2]}_{unit}" for unit in TIME_UNITS]
        found = [spelling for spelling in spellings if spelling in left]
        if len(found) > 1:
            raise BadInput(
                f"gives one time in several units; keep one of {', '.join(found)}", file=path
            )
        if found:
            names[name] = found[0]
            left.discard(found[0])
        elif column.needed:
            raise BadInput(
                f"lacks the column {' or '.join(spellings)} ({column.meaning})", file=path, key=name
            )
    if left:
        known = [*schema, *(f"{name[:-2]}_us" for name in schema if name.endswith("_s"))]
        fault = unknown("column of such a table", min(left), known)
        raise BadInput(fault.what, file=path)
    return names


def _checked(values: Array, column: Column, written: str, path: Path) -> Array:
    """The column's values, in seconds where they are times; names the first that is not allowed."""
    if column.holds in ("text", "dtype"):
        return _words(values, column, written, path)
    numbers = _numbers(values, written, path)
    empty = np.isnan(numbers)
    scale = TIME_UNITS[written.rpartition("_")[2]] if column.holds == "time" else 1.0
    numbers = numbers * scale
    wrong = ~((numbers >= column.least) & (numbers <= column.most))
    if column.holds == "int":
        with np.errstate(invalid="ignore"):
            wrong |= numbers != np.floor(numbers)
    wrong &= ~empty if column.blank else True
    if wrong.any():
        row = int(np.argmax(wrong))
        whole = "a whole number" if column.holds == "int" else "a number"
        low, high = column.least / scale, column.most / scale
        raise _fault(f"must be {whole} from {low:g} to {high:g}", path, row, written, values)
    if column.holds == "int" and not column.blank:
        return numbers.astype(np.int64)
    return numbers


def _numbers(values: Array, written: str, path: Path) -> Array:
    """The values as float64; an empty cell is nan."""
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    try:
        return np.array([value if value != "" else "nan" for value in values], np.float64)
    except (ValueError, TypeError):
        row = next(i for i, value in enumerate(values) if not _is_number(value))
        raise _fault("must be a number without a unit", path, row, written, values) from None


def _is_number(value: Any) -> bool:
    try:
        float(value or "nan")
    except (ValueError, TypeError):
        return False
    return True


def _words(values: Array, column: Column, written: str, path: Path) -> Array:
    """Texts by the pattern of their column, number formats by their own name."""
    texts = [value if isinstance(value, str) else str(value) for value in values]
    spelled: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        try:
            spelled[text] = _word(text, column)
        except BadInput as fault:
            raise _fault(fault.what, path, texts.index(text), written, values) from None
    return np.array([spelled[text] for text in texts], object)


def _word(text: str, column: Column) -> str:
    if column.holds == "dtype":
        number_format(text)
        return ALIASES.get(text, text)
    if not (column.blank and not text) and not re.fullmatch(column.pattern, text):
        raise BadInput(f"must be {column.allowed}")
    if not text and not column.blank:
        raise BadInput("must not be empty")
    return text


def _fault(what: str, path: Path, row: int, written: str, values: Array) -> BadInput:
    value = values[row]
    shown = value.item() if isinstance(value, np.generic) else value
    return BadInput(what, file=path, key=f"row {row + 1}, column {written}", value=shown)
