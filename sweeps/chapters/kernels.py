"""A chapter that compiles a kernel's configurations and says what each needs."""

from __future__ import annotations

from ...base import BadInput
from ...kernels import Build, build, gate, kernel
from ...kernels.compiled.build import INSTALL
from ..report.section import Section, Table
from .question import Chapter, Some


class Compiled(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="kernel"):
    """The registered configurations of a kernel on some architectures. configs: all by default."""

    kernel: str
    arches: Some[str]
    configs: tuple[str, ...] = ()


COLUMNS = ("configuration", "architecture", "registers", "spilled", "shared memory", "blocks/SM")


def compiled(chapter: Compiled, seed: int) -> Section:
    """Registers, spills, shared memory and occupancy of every build, by the compiler's report."""
    made = kernel(chapter.kernel)
    configs = chapter.configs or tuple(made.configs)
    try:
        builds = [build(made, config, arch) for config in configs for arch in chapter.arches]
    except BadInput as fault:
        if INSTALL not in fault.what:
            raise
        return _section(chapter, (f"Skipped: {fault}.",), ())
    names = [(config, arch) for config in configs for arch in chapter.arches]
    words = (
        f"{made.does[0].upper()}{made.does[1:]}. Compiled by {builds[0].compiler} without a GPU: "
        "the same cubin runs on one. Nothing was launched, so nothing here is a time."
    )
    rows = tuple((*name, *_limits(built)) for name, built in zip(names, builds, strict=True))
    return _section(chapter, (words,), rows)


def _limits(built: Build) -> tuple[str, ...]:
    verdict, used = gate(built), built.resources
    room = f"{verdict.blocks}, held by {verdict.limiter}"
    return (
        str(used.registers),
        f"{used.spill_store_bytes + used.spill_load_bytes} B",
        f"{built.dynamic_shared_bytes + used.static_shared_bytes} B",
        room if verdict.launchable else f"none: {'; '.join(verdict.refusals)}",
    )


def _section(
    chapter: Compiled, words: tuple[str, ...], rows: tuple[tuple[str, ...], ...]
) -> Section:
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, *words))),
        # What the compiler reports was read here; it is no model's opinion.
        evidence=("measured-here",) if rows else (),
        tables=(Table(columns=COLUMNS, rows=rows),) if rows else (),
        data=[dict(zip(COLUMNS, row, strict=True)) for row in rows],
    )
