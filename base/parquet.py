"""Columns in Parquet files through duckdb: the schema is checked before a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadInput
from .files import writing

Columns = dict[str, np.ndarray[Any, Any]]
"""Equally long one-dimensional arrays by name: numbers, or objects where a column holds text."""

MOST_ROWS = 200_000_000
MOST_TEXT_BYTES = 2**30
_KINDS = {
    "int": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    "float": ("FLOAT", "DOUBLE"),
    "text": ("VARCHAR",),
    "bool": ("BOOLEAN",),
}
_KINDS["float"] += _KINDS["int"]


def write(path: str | Path, columns: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes the columns with the metadata (units, licence, provenance) as one zstd Parquet."""
    import duckdb
    import pandas as pd

    frame = pd.DataFrame(dict(columns))
    pairs = ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in metadata.items())
    with writing(path) as beside, duckdb.connect() as connection:
        connection.register("columns", frame)
        connection.execute(
            f"COPY columns TO {_quoted(str(beside))} "
            f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 15, KV_METADATA {{{pairs}}})"
        )


def read(
    path: str | Path,
    kinds: Mapping[str, str],
    *,
    optional: Sequence[str] = (),
    where: str = "true",
    most_rows: int = MOST_ROWS,
) -> Columns:
    """The columns named in `kinds` (name -> int, float, text or bool), rows in file order.

    `where` is an SQL condition of this program's own, never a user's text. Columns in `optional`
    may be missing. Raises BadInput for a file that is no Parquet, lacks a column, holds another
    type, or claims more rows than `most_rows`.
    """
    import duckdb

    path = Path(path)
    if not path.is_file():
        raise BadInput("is missing; name a Parquet file", file=path)
    file = _quoted(str(path))
    with duckdb.connect(config={"threads": 2}) as connection:
        try:
            rows = connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata({file})")
            count = int((rows.fetchone() or [0])[0] or 0)
            types = {
                name: kind
                for name, kind, *_ in connection.execute(
                    f"DESCRIBE SELECT * FROM read_parquet({file}, hive_partitioning = false)"
                ).fetchall()
            }
        except (duckdb.Error, UnicodeDecodeError) as fault:
            raise BadInput(
                f"is no readable Parquet file: {_first_line(fault)}", file=path
            ) from None
        if count > most_rows:
            raise BadInput(f"claims {count} rows; at most {most_rows} are read", file=path)
        held = _held(types, kinds, optional, path)
        names = ", ".join(f'"{name}"' for name in held)
        texts = "+".join(f'coalesce(strlen("{n}"), 0)' for n in held if types[n] == "VARCHAR")
        try:
            # A dictionary packs one long text for millions of rows into a few bytes.
            total = f"SELECT sum({texts or 0}) FROM read_parquet({file}, hive_partitioning = false)"
            if ((connection.execute(total).fetchone() or [0])[0] or 0) > MOST_TEXT_BYTES:
                raise BadInput(f"holds more than {MOST_TEXT_BYTES} bytes of text", file=path)
            result = connection.execute(
                f"SELECT {names} FROM read_parquet({file}, hive_partitioning = false) WHERE {where}"
            )
            columns = result.fetchnumpy()
        except (duckdb.Error, UnicodeDecodeError, MemoryError) as fault:
            raise BadInput(f"is damaged: {_first_line(fault)}", file=path) from None
    return {name: unmasked(column) for name, column in columns.items()}


def _held(
    types: Mapping[str, str], kinds: Mapping[str, str], optional: Sequence[str], path: Path
) -> list[str]:
    """The wanted columns that the file holds; refuses a missing one and one of another type."""
    for name, kind in kinds.items():
        if name not in types and name not in optional:
            raise BadInput(f"lacks the column; it holds {', '.join(types)}", file=path, key=name)
        if name in types and types[name] not in _KINDS[kind]:
            raise BadInput(f"must hold {kind}, holds {types[name]}", file=path, key=name)
    held = [name for name in kinds if name in types]
    if not held:
        raise BadInput(
            f"holds none of the columns {', '.join(kinds)}; it holds {', '.join(types)}", file=path
        )
    return held


def metadata(path: str | Path) -> dict[str, str]:
    """The key-value metadata of a Parquet file."""
    import duckdb

    with duckdb.connect() as connection:
        try:
            rows = connection.execute(
                f"SELECT key, value FROM parquet_kv_metadata({_quoted(str(path))})"
            ).fetchall()
            return {bytes(key).decode(): bytes(value).decode() for key, value in rows}
        except (duckdb.Error, UnicodeDecodeError, TypeError) as fault:
            raise BadInput(
                f"is no readable Parquet file: {_first_line(fault)}", file=path
            ) from None


def unmasked(column: Any) -> np.ndarray[Any, Any]:
    """Numbers with nan where the file holds none; text with an empty string."""
    if not isinstance(column, np.ma.MaskedArray):
        return np.asarray(column)
    if column.dtype.kind in "iub" and np.any(column.mask):
        column = np.ma.MaskedArray(column, dtype=np.float64)
    return np.asarray(column.filled("" if column.dtype.kind == "O" else np.nan))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(fault: BaseException) -> str:
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
