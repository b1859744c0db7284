"""How results are shown: tables for people, JSON for programs, remarks on the error stream."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..base.files import write_text

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the result to this file.")]

PIPED_WIDTH = 200
"""Columns of a table that is not printed on a terminal: wide enough that no cell is cut."""


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = ""
) -> None:
    """Prints a table on the output stream; cells that start like numbers stand to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    shown = Table(box=box.SIMPLE)
    texts = [[str(cell) for cell in row] for row in rows]
    for i, column in enumerate(columns):
        numeric = bool(texts) and all(_numeric(row[i]) for row in texts)
        shown.add_column(column, justify="right" if numeric else "left")
    for row in texts:
        shown.add_row(*(_escaped(cell) for cell in row))
    if title:
        console.print(_escaped(title), style="bold")
    console.print(shown)
    if note:
        console.print(_escaped(note))


def _numeric(cell: str) -> bool:
    return not cell or cell[0].isdigit() or cell[0] in "-+." or cell in ("nan", "inf")


def _escaped(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)


def json(data: Any) -> None:
    """Prints data as JSON; arrays become lists, numbers that are none become null."""
    print(json_module.dumps(_plain(data), indent=2, ensure_ascii=False))


def json_text(data: Any) -> str:
    """The data as the JSON text that `json` prints."""
    return json_module.dumps(_plain(data), indent=2, ensure_ascii=False) + "\n"


def save_json(path: Path, data: Any) -> None:
    """Writes the data as a JSON file, whole or not at all, and says so."""
    write_text(path, json_text(data))
    say(f"wrote {path}")


def say(text: str) -> None:
    """A remark on the error stream, so that the output stream stays clean."""
    print(text, file=sys.stderr)


def _plain(data: Any) -> Any:
    import msgspec

    if isinstance(data, dict):
        return {str(key): _plain(item) for key, item in data.items()}
    if isinstance(data, list | tuple | set):
        return [_plain(item) for item in data]
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, np.generic):
        return _plain(data.item())
    if isinstance(data, float):
        return data if np.isfinite(data) else None
    if isinstance(data, msgspec.Struct):
        return _plain({name: getattr(data, name) for name in data.__struct_fields__})
    if isinstance(data, Path):
        return str(data)
    return data
