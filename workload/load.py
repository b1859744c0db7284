"""A model by name or by path."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec

from ..base import unknown
from ..base.spec import load_toml
from .config import read_config
from .model import MoEModel

BUNDLED = Path(__file__).parent / "models"


@functools.cache
def names() -> tuple[str, ...]:
    """The bundled models, in alphabetical order."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.json")))


def model(name_or_path: str | Path) -> MoEModel:
    """A bundled model, or one from the path of a config.json or of a folder that holds one.

    Raises BadInput for a name that no bundled model has, and for files that describe no MoE model.
    """
    text = str(name_or_path)
    if text in names():
        return _bundled(text)
    path = Path(text)
    try:
        path = path / "config.json" if path.is_dir() else path
        there = path.exists()
    except OSError:  # too long to be a path
        there = False
    if there or path.suffix == ".json":
        return read_config(path)
    raise unknown("model", text, names())


@functools.cache
def _bundled(name: str) -> MoEModel:
    facts = _catalogue().get(name, {})
    return msgspec.structs.replace(
        read_config(BUNDLED / f"{name}.json", name),
        published_total=facts.get("total"),
        published_active=facts.get("active"),
        status=facts.get("status", ""),
        source=facts.get("source", ""),
    )


@functools.cache
def _catalogue() -> dict[str, Any]:
    return load_toml(BUNDLED / "catalogue.toml")
