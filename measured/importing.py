"""A user's own table (CSV, CSV.gz or Parquet) against the schema of its kind."""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..base import BadInput, number_format, parquet, unknown
from ..base.dtypes import ALIASES
from ..base.files import read_bounded
from .measurements import Array, Measurements, Provenance
from .schema import SCHEMAS, TIME_UNITS, Column

MOST_BYTES = 64 * 2**20
MOST_ROWS = 5_000_000


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
    read = _READERS.get("".join(path.suffixes[-2:])) or _READERS.get(path.suffix)
    if read is None:
        raise BadInput(f"must end in {', '.join(_READERS)}", file=path)
    given = read(path, kind)
    schema = SCHEMAS[kind]
    names = _named(given, schema, path)
    columns = {
        name: _checked(given[written], schema[name], written, path)
        for name, written in names.items()
    }
    if not len(next(iter(columns.values()))):
        raise BadInput("holds no rows", file=path)
    return Measurements(
        kind=kind,
        system=system,
        columns=columns,
        provenance=Provenance(source=source or path.name, licence=licence),
        evidence="measured-published",
    )


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


def _read_csv(path: Path, kind: str) -> dict[str, Array]:
    return _parsed(read_bounded(path, MOST_BYTES), path)


def _read_csv_gz(path: Path, kind: str) -> dict[str, Array]:
    return _parsed(_unpacked(read_bounded(path, MOST_BYTES), path), path)


def _read_parquet(path: Path, kind: str) -> dict[str, Array]:
    kinds: dict[str, str] = {}
    for name, column in SCHEMAS[kind].items():
        if column.holds == "time":
            kinds |= {f"{name[:-2]}_{unit}": "float" for unit in TIME_UNITS}
        else:
            kinds[name] = "text" if column.holds in ("text", "dtype") else "float"
    columns = parquet.read(path, kinds, optional=list(kinds), most_rows=MOST_ROWS)
    return {name: np.asarray(column) for name, column in columns.items()}


def _unpacked(data: bytes, path: Path) -> bytes:
    """The content of a gzip file of one member, refused as soon as it grows past the limit."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        content = unpack.decompress(data, MOST_BYTES + 1)
    except zlib.error as fault:
        raise BadInput(f"is no readable gzip file: {fault}", file=path) from None
    if len(content) > MOST_BYTES:
        raise BadInput(f"unpacks to more than {MOST_BYTES} bytes", file=path)
    if not unpack.eof or unpack.unused_data:
        raise BadInput("is cut short or holds more than one gzip member", file=path)
    return content


def _parsed(data: bytes, path: Path) -> dict[str, Array]:
    """The columns of a comma-separated text with a header line."""
    try:
        text = data.decode("utf-8-sig")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except UnicodeDecodeError as fault:
        raise BadInput(f"is not UTF-8 text (byte {fault.start})", file=path) from None
    except csv.Error as fault:
        raise BadInput(f"is no comma-separated table: {fault}", file=path) from None
    except ValueError:
        raise BadInput("is empty; the first line names the columns", file=path) from None
    names = [name.strip() for name in header]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput("names a column twice", file=path, key=twice)
    rows = [row for row in rows if row]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise BadInput(
                f"row {i + 1} has {len(row)} cells; the header names {len(names)}", file=path
            )
    cells = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: np.array(list(column), object) for name, column in zip(names, cells, strict=True)}


_READERS: dict[str, Callable[[Path, str], dict[str, Array]]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv_gz,
    ".parquet": _read_parquet,
}
