"""Measurements as Parquet files: the columns of the schema, provenance in the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import numpy as np

from ..base import BadInput, Evidence, parquet
from .measurements import Array, Measurements, Provenance
from .schema import SCHEMAS, TIME_UNITS, Column

MOST_ROWS = 5_000_000
_PREFIX = "moesaic."


def write(measurements: Measurements, path: str | Path) -> None:
    """Writes the table whole or not at all. Times are stored in microseconds."""
    columns = {
        f"{name[:-2]}_us" if _is_time(measurements.kind, name) else name: (
            column * 1e6 if _is_time(measurements.kind, name) else column
        )
        for name, column in measurements.columns.items()
    }
    origin = measurements.provenance
    parquet.write(
        path,
        columns,
        {
            f"{_PREFIX}kind": measurements.kind,
            f"{_PREFIX}system": measurements.system,
            f"{_PREFIX}rows": str(len(measurements)),
            f"{_PREFIX}evidence": measurements.evidence,
            f"{_PREFIX}source": origin.source,
            f"{_PREFIX}version": origin.version,
            f"{_PREFIX}licence": origin.licence,
            f"{_PREFIX}modified": origin.modified,
        },
    )


def label(path: str | Path) -> dict[str, str]:
    """What a file says of itself: kind, system, rows, evidence and provenance.

    Raises BadInput for a Parquet file that `write` did not make.
    """
    found = {
        key.removeprefix(_PREFIX): value
        for key, value in parquet.metadata(path).items()
        if key.startswith(_PREFIX)
    }
    if found.get("kind") not in SCHEMAS or found.get("evidence") not in get_args(Evidence):
        raise BadInput(
            "is no table of measurements; make one with `moesaic measured import`", file=path
        )
    return found


def read(path: str | Path) -> Measurements:
    """The table in a file that `write` made. Raises BadInput for any other."""
    told = label(path)
    schema = SCHEMAS[told["kind"]]
    names = {f"{name[:-2]}_us" if c.holds == "time" else name: c for name, c in schema.items()}
    columns = parquet.read(
        path,
        {name: _stored(column) for name, column in names.items()},
        optional=[name for name, column in names.items() if not column.needed],
        most_rows=MOST_ROWS,
    )
    return Measurements(
        kind=told["kind"],
        system=told.get("system", ""),
        columns={
            f"{name[:-3]}_s" if names[name].holds == "time" else name: (
                _seconds(column) if names[name].holds == "time" else column
            )
            for name, column in columns.items()
        },
        provenance=Provenance(
            source=told.get("source", ""),
            version=told.get("version", ""),
            licence=told.get("licence", ""),
            modified=told.get("modified", ""),
        ),
        evidence=cast(Evidence, told["evidence"]),
    )


def _seconds(column: Array) -> Array:
    return column.astype(np.float64) * TIME_UNITS["us"]


def _is_time(kind: str, name: str) -> bool:
    column = SCHEMAS[kind].get(name)
    return column is not None and column.holds == "time"


def _stored(column: Column) -> str:
    """What base.parquet asks of the stored column: a count with blank cells is stored as float."""
    if column.holds in ("text", "dtype"):
        return "text"
    return "int" if column.holds == "int" and not column.blank else "float"
