"""A chapter that compiles a kernel's configurations and says what each needs."""

from __future__ import annotations

from ...base import BadInput
from ...kernels import Build, Target, gate, kernel
from ...kernels.compiled import NoCompiler, build_all, targets
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
    does = kernel(chapter.kernel).does
    named = [f"{chapter.kernel}/{config}" for config in chapter.configs] or [chapter.kernel]
    wanted = targets(named, chapter.arches)
    try:
        builds = list(build_all(wanted))
    except NoCompiler as fault:
        return _section(chapter, (f"Skipped: {fault}.",), ())
    rows = tuple(_row(one, built) for one, built in zip(wanted, builds, strict=True))
    words = (
        f"{does[0].upper()}{does[1:]}. Compiled without a GPU: the same cubin runs on one. Nothing "
        "was launched, so nothing here is a time."
    )
    return _section(chapter, (words,), rows)


def _row(one: Target, built: Build | BadInput) -> tuple[str, ...]:
    if isinstance(built, BadInput):
        raise built
    verdict = gate(built)
    room = f"{verdict.blocks}, held by {verdict.limiter}"
    return (
        one.name,
        one.arch,
        str(built.resources.registers),
        f"{built.resources.spilled_bytes} B",
        f"{built.shared_bytes} B",
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
