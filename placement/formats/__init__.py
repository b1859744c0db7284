"""Placement files that engines load: written, read back, and checked for what would make them fail.

A new format is a `Format` in a file of its own and its name in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path

from ...base import BadInput, unknown
from ...base.files import read_bounded
from ...workload import ExpertMap, MoEModel
from ..placement import Placement
from ..problem import Problem
from . import sglang
from .eplb_arrays import EPLB, EPLB_NPY
from .file import Format, Table, demand_room, fetch, file_faults, save
from .sglang import SGLANG
from .sidecar import Sidecar
from .tensorrt_llm import TENSORRT_LLM
from .validate import map_faults, refuse, slot_faults
from .vllm import VLLM, VLLM_RANKS

FORMATS: dict[str, Format] = {
    form.name: form for form in (SGLANG, TENSORRT_LLM, VLLM, VLLM_RANKS, EPLB, EPLB_NPY)
}
"""In the order in which an ending chooses: .json is SGLang's unless a format is named."""


def write(
    path: str | Path,
    placement: Placement | ExpertMap,
    format: str | None = None,
    model_layers: int | None = None,
) -> Format:
    """Writes the file for an engine, and for a Placement its sidecar; gives the format chosen.

    format: a name in FORMATS, else the ending of `path` chooses. model_layers: hidden layers of the
    model. Raises BadInput for a map that the engine would refuse.
    """
    form = chosen(path, format)
    save(form, path, placement, model_layers)
    return form


def chosen(path: str | Path, format: str | None = None) -> Format:
    """The format named, or the one whose ending `path` bears."""
    return _named(format) if format is not None else _by_ending(Path(path))


def demand_writable(
    path: str | Path, problem: Problem, format: str | None = None, model_layers: int | None = None
) -> Format:
    """The format chosen; raises BadInput where no answer to `problem` could be written there.

    It saves a long search from ending in a file that is refused.
    """
    form = chosen(path, format)
    demand_room(form, Path(path), problem.layers, model_layers)
    refuse(slot_faults(problem.slots_per_rank), path)
    return form


def read(
    path: str | Path,
    format: str | None = None,
    layers: tuple[int, ...] | None = None,
    experts: int | None = None,
    ranks: int | None = None,
) -> tuple[ExpertMap, Placement | None]:
    """The map in a file, and the placement where a sidecar tells of it; see `file.fetch`."""
    return fetch(detected(path, format), path, layers, experts, ranks)


def check(
    path: str | Path,
    format: str | None = None,
    *,
    model: MoEModel | None = None,
    experts: int | None = None,
    ranks: int | None = None,
) -> list[str]:
    """Every fault that an engine would choke on, as a sentence; see `file.file_faults`."""
    form = detected(path, format)
    return file_faults(form, path, model=model, experts=experts, ranks=ranks)


def detected(path: str | Path, format: str | None = None) -> Format:
    """The format named, or the one that the content of the file tells."""
    if format is not None:
        return _named(format)
    start = read_bounded(path)[:65536]
    for form in FORMATS.values():
        if form.tells(start):
            return form
    raise BadInput(f"is no placement file that is read here: {', '.join(FORMATS)}", file=path)


def _named(name: str) -> Format:
    if name not in FORMATS:
        raise unknown("placement format", name, FORMATS)
    return FORMATS[name]


def _by_ending(path: Path) -> Format:
    for form in FORMATS.values():
        if path.suffix in form.suffixes:
            return form
    known = ", ".join(f"{form.suffixes[0]} ({form.name})" for form in FORMATS.values())
    raise BadInput(f"no engine's file ends so; endings: {known}", file=path)


__all__ = [
    "FORMATS",
    "Format",
    "Sidecar",
    "Table",
    "check",
    "chosen",
    "demand_writable",
    "detected",
    "map_faults",
    "read",
    "sglang",
    "write",
]
