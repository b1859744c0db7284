"""The recorded spaces that ship, by name, and which of them teach which."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

import numpy as np

from ...base import BadInput, unknown
from ...measured.tables import RECORDED
from .read import read_recording
from .recording import Recording, seconds_in

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
    """The spaces that ship of the same kernel, with the same parameters, on other devices, in the
    order of their table. One that holds the very times of a file, whatever its name, is left out.
    """
    about = packaged().get(taught.name, taught.about)
    found = [
        _shipped(name)
        for name, other in packaged().items()
        if other["kernel"] == about.get("kernel") and other["device"] != about.get("device")
    ]
    kin = [one for one in found if one.space.parameters.keys() == taught.space.parameters.keys()]
    return [other for other in kin if not _same_times(taught, other)]


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
    if _same_times(taught, teacher):
        raise BadInput("holds the very times that are to be found", key=teacher.name)


def _same_times(taught: Recording, teacher: Recording) -> bool:
    """Whether the teacher's times, in whatever order and however many, are those of the taught."""
    if taught.space.parameters.keys() != teacher.space.parameters.keys():
        return False
    known = seconds_in(taught.space, teacher.teacher)
    both = np.isfinite(known) & np.isfinite(taught.seconds)
    return bool(both.any() and (known[both] == taught.seconds[both]).all())
