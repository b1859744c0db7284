"""The specs that a space names: whether each can be read, before anything is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...base import BadInput, number_format
from ...hardware.load import device as load_device
from ...hardware.load import link as load_link
from ...hardware.load import system as load_system
from ...workload.load import model as load_model
from .axes import Axis

_READ: Mapping[str, Callable[[str], Any]] = {
    "model": load_model,
    "on": load_system,
    "device": load_device,
    "link": load_link,
    "network": load_link,
    "weights": number_format,
    "kv": number_format,
}


def check_named(fixed: Mapping[str, Any], axes: tuple[Axis, ...], here: Path) -> None:
    """Raises BadInput, with the nearest name, for the first that cannot be read among fixed and
    listed ones; what is derived is told row by row."""
    for key, read in _READ.items():
        told = [(f"fixed.{key}", fixed[key])] if key in fixed else []
        for axis in axes:
            where = f"axes.{axis.name}" + (f".{key}" if axis.name != key else "")
            listed = axis.columns[key].tolist() if key in axis.columns else []
            told += [(where, name) for name in dict.fromkeys(listed)]
        for where, name in told:
            if name:
                _check(where, name, read, here)


def _check(where: str, name: str, read: Callable[[str], Any], here: Path) -> None:
    file = name.endswith((".toml", ".json"))
    try:
        read(str(here / name) if file else name)
    except BadInput as fault:
        what = str(fault) if fault.file else fault.what
        raise BadInput(what, key=where, value=None if file else name) from None
