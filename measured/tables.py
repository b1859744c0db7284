"""Measured tables by kind and system: the part that ships, or a folder of a user's own."""

from __future__ import annotations

from pathlib import Path

from ..base import BadInput, unknown
from . import store
from .measurements import Measurements, concatenated
from .schema import SCHEMAS

RECORDED = Path(__file__).parent / "recorded"
"""The tables that ship, one file for each kind and system: <kind>-<system>.parquet."""


def kinds() -> list[str]:
    """The kinds of measurement."""
    return list(SCHEMAS)


def systems(kind: str, folder: str | Path | None = None) -> list[str]:
    """The devices that tables of this kind were timed on."""
    return sorted({system for system, _ in _files(kind, folder)})


def load(kind: str, system: str | None = None, folder: str | Path | None = None) -> Measurements:
    """The table of a kind, timed on `system`; without one, all systems in one table.

    `folder` holds tables that `moesaic measured import` wrote; without it the part that ships is
    read. Raises BadInput for a kind or system that is not there.
    """
    files = _files(kind, folder)
    wanted = None if system is None else system.lower().replace("_", "-")
    parts = [store.read(path) for name, path in files if wanted in (None, name)]
    if not parts:
        if wanted is None:
            raise BadInput(f"holds no {kind} table", file=folder)
        raise unknown(f"system with a {kind} table", wanted, {name for name, _ in files})
    return parts[0] if len(parts) == 1 else concatenated(parts)


def labels(folder: str | Path | None = None) -> list[dict[str, str]]:
    """What each table says of itself: kind, system, rows, evidence and provenance."""
    return [store.label(path) for path in _paths(folder)]


def _files(kind: str, folder: str | Path | None) -> list[tuple[str, Path]]:
    """System and file of each table of the kind; the name of a file that ships tells both."""
    if kind not in SCHEMAS:
        raise unknown("kind of measurement", kind, SCHEMAS, key="kind")
    if folder is None:
        return [
            (path.stem.removeprefix(f"{kind}-"), path)
            for path in _paths(None)
            if path.stem.startswith(f"{kind}-")
        ]
    told = [(store.label(path), path) for path in _paths(folder)]
    return [(label.get("system", ""), path) for label, path in told if label["kind"] == kind]


def _paths(folder: str | Path | None) -> list[Path]:
    folder = RECORDED if folder is None else Path(folder)
    if not folder.is_dir():
        raise BadInput("is no folder of measured tables", file=folder)
    return sorted(folder.glob("*.parquet"))
