"""The recorded spaces that ship, by name, and which of them teach which."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

from ...base import BadInput, unknown
from ...measured.tables import RECORDED
from .read import read_recording
from .recording import Recording

FOLDER = RECORDED / "kernel_tuner"


@functools.cache
def packaged() -> dict[str, dict[str, str]]:
    """Kernel, device and problem of each space that ships."""
    return tomllib.loads((FOLDER / "spaces.toml").read_text(encoding="utf-8"))


def recorded_space(word: str | Path) -> Recording:
    """A recorded space: the name of one that ships, or a file. Raises BadInput for neither."""
    name = str(word)
    if name in packaged():
        return _shipped(name)
    if not Path(word).exists() and not Path(word).suffix:
        raise unknown("recorded space", name, packaged())
    return read_recording(word)


def teachers_of(taught: Recording) -> list[Recording]:
    """The spaces that ship of the same kernel on other devices, in the order of their table."""
    about = packaged().get(taught.name)
    kernel = about["kernel"] if about else taught.about.get("kernel")
    device = about["device"] if about else taught.about.get("device")
    return [
        _shipped(name)
        for name, other in packaged().items()
        if other["kernel"] == kernel and other["device"] != device
    ]


@functools.lru_cache(maxsize=8)
def _shipped(name: str) -> Recording:
    found = read_recording(FOLDER / f"{name}.csv.gz")
    found.about.update(packaged()[name], source=f"{name}.csv.gz")
    return found


def require_kin(taught: Recording, teacher: Recording) -> None:
    """Refuses a teacher of another kernel, where both files tell which it is, and of the same
    recording: nobody may know the times that are looked for."""
    mine, theirs = taught.about.get("kernel"), teacher.about.get("kernel")
    if mine and theirs and mine != theirs:
        raise BadInput(f"is of the kernel {theirs}, not {mine}", key=teacher.name)
    if taught.seconds.shape == teacher.seconds.shape and (taught.seconds == teacher.seconds).all():
        raise BadInput("holds the very times that are to be found", key=teacher.name)
