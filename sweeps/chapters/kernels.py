"""A chapter that compiles a kernel's configurations and says what each needs."""

from __future__ import annotations

from ...base import BadInput
from ...kernels import build, gate, kernel
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
    rows = []
    try:
        for config in chapter.configs or tuple(made.configs):
            for arch in chapter.arches:
                built = build(made, config, arch)
                verdict, used = gate(built), built.resources
                room = f"{verdict.blocks}, held by {verdict.limiter}"
                rows.append(
                    (
                        config,
                        arch,
                        str(used.registers),
                        f"{used.spill_store_bytes + used.spill_load_bytes} B",
                        f"{built.dynamic_shared_bytes + used.static_shared_bytes} B",
                        room if verdict.launchable else f"none: {'; '.join(verdict.refusals)}",
                    )
                )
    except BadInput as fault:
        if INSTALL not in fault.what:
            raise
        skipped = f"Skipped: {fault}."
        return _section(chapter, (skipped,), ())
    words = (
        f"{made.does}. Compiled by {built.compiler} without a GPU: the same cubin runs on one. "
        "Nothing was launched, so nothing here is a time."
    )
    return _section(chapter, (words,), tuple(rows))


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
