"""Study: a TOML file of chapters in, a report out. This is what `make run` runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..base import BadInput, Spec
from ..base.spec import load
from .chapters.comparisons import Held, held
from .chapters.crossover import Crossover, crossover
from .chapters.estimates import Machines, Roof, machines, roof
from .chapters.fpga import Designs, designs
from .chapters.kernels import Executed, executed
from .chapters.memory import Memory, memory
from .chapters.pim import Shared, shared
from .chapters.placements import Homes, homes
from .chapters.question import Line, Some
from .chapters.timelines import Lanes, lanes
from .chapters.tuning import Replayed, Surveyed, replayed, surveyed
from .report import PAGE, RESERVED, Section, fill, filling

Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
AnyChapter = (
    Machines
    | Roof
    | Lanes
    | Homes
    | Shared
    | Crossover
    | Designs
    | Executed
    | Replayed
    | Surveyed
    | Held
    | Memory
)

CHAPTERS: dict[type, Callable[..., Section]] = {
    Machines: machines,
    Roof: roof,
    Lanes: lanes,
    Homes: homes,
    Shared: shared,
    Crossover: crossover,
    Designs: designs,
    Executed: executed,
    Replayed: replayed,
    Surveyed: surveyed,
    Held: held,
    Memory: memory,
}
"""What answers each kind of chapter: (chapter, seed) -> Section; one that reads or writes files
besides also takes `here`, the study's folder, and `out`, the report's."""


class Study(Spec, frozen=True, kw_only=True):
    """A title and chapters in the order of the report; one seed for all of them."""

    title: Line
    chapter: Some[AnyChapter]
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [chapter.name.lower() for chapter in self.chapter]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`chapter` uses the name {name!r} twice")
            if name in RESERVED:
                raise ValueError(f"`chapter` uses the name {name!r}, which every report has")


def sections(study: Study, here: Path, out: Path | None = None) -> Iterator[Section]:
    """The chapters' sections, one by one as they are done. `here`: what paths are relative to."""
    for chapter in study.chapter:
        answer = CHAPTERS[type(chapter)]
        more: dict[str, Any] = {"here": here, "out": out}
        wanted = inspect.signature(answer).parameters
        try:
            yield answer(chapter, study.seed, **{k: v for k, v in more.items() if k in wanted})
        except BadInput as fault:
            raise BadInput(f"chapter {chapter.name}: {fault}") from None


def run(path: str | Path, out: str | Path, tell: Callable[[str], None] | None = None) -> Path:
    """Runs the study in a file and writes its report into the folder `out`; returns the page.

    tell: called with a line after each chapter. Raises BadInput for a study that cannot be run;
    `out` is touched only when all chapters are done.
    """
    study = load(Study, path)
    made: list[Section] = []
    with filling(out) as beside:
        for section in sections(study, Path(path).parent, beside):
            made.append(section)
            if tell is not None:
                tell(f"[{len(made)}/{len(study.chapter)}] {section.title}")
        fill(beside, study.title, made)
    return Path(out) / PAGE
