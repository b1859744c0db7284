"""The raw columns of a user's file: bounded before anything is unpacked, nothing interpreted."""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..base import BadInput, parquet
from ..base.files import read_bounded
from .measurements import Array
from .schema import SCHEMAS, TIME_UNITS

MOST_BYTES = 64 * 2**20
MOST_ROWS = 5_000_000


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
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise BadInput("names a column twice", file=path, key=twice)
    rows = [row for row in rows if row]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise BadInput(
                f"row {i + 1} has {len(row)} cells; the header names {len(names)}", file=path
            )
    cells = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: np.array(list(column), object) for name, column in zip(names, cells, strict=True)}


READERS: dict[str, Callable[[Path, str], dict[str, Array]]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv_gz,
    ".parquet": _read_parquet,
}
"""Readers by suffix: (path, kind) -> columns by the names in the file, cells as text or numbers."""
