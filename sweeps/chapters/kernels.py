"""A chapter that builds kernels' configurations, executes them, and says what each does."""

from __future__ import annotations

from typing import Any

import msgspec

from ...base import BadInput
from ...kernels import KERNELS, Checked, Explained, Target, check, explain
from ...kernels.compiled import NoCompiler, targets
from ...kernels.compiled.parallel import in_threads
from ..report.section import Section, Table
from .question import Chapter, Some


class Executed(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="kernel"):
    """Configurations of the CUDA kernels on some architectures. kernels: `KERNEL/CONFIG`, several
    with `*`, or `KERNEL` for all that are registered."""

    kernels: Some[str]
    arches: Some[str]


COLUMNS = (
    "configuration", "on", "registers", "occupancy", "held by", "launches", "verdict",
    "error / bound", "conflicts", "sectors / least",
)  # fmt: skip
WORDS = (
    "Compiled by NVIDIA's compiler without a GPU; what it made was executed on the CPU, on small "
    "problems with empty experts, single rows and tails, and every number held against float64."
)
NOTE = (
    "Registers: of a thread, by the assembler's report here. Occupancy: by the limits of the "
    "architecture, a bound. The rest is counted while executing. Error / bound: the worst of all "
    "outputs of all launches; above 1 is wrong. Conflicts: of the banks of shared memory. "
    "Sectors / least: 32-byte sectors of global memory that the warps touched, over those that the "
    "launch touched, each once; no cache is modelled. The plot counts instructions of the PTX, of "
    "which the assembler drops and joins some. Nothing ran on a GPU, so nothing is a time."
)


def executed(chapter: Executed, seed: int) -> Section:
    """Each configuration's registers and occupancy, the verdict on all of its shapes, and its
    instructions and bytes on the first of them."""
    from ..plots.kernels import instructions_and_bytes

    def answer(one: Target) -> tuple[Checked, Explained]:
        verdict = check(one, seed)
        if verdict.verdict == "refused":
            raise BadInput(verdict.reason, key=str(one))
        return verdict, explain(one, seed)

    wanted = targets(chapter.kernels, chapter.arches)
    try:
        answers = list(in_threads(answer, wanted))
    except NoCompiler as fault:
        return _section(chapter, (f"Skipped: {fault}.",))
    checks, found = zip(*answers, strict=True)
    return _section(
        chapter,
        (WORDS, *_summary(checks)),
        evidence=("measured-here", "bound", "simulated"),
        tables=(
            Table(columns=COLUMNS, rows=tuple(map(_row, checks, found)), note=NOTE),
            _meanings(found),
        ),
        figure=instructions_and_bytes([e for e in found if e.arch == chapter.arches[0]]),
        data=[_data(*answer) for answer in answers],
    )


def _section(chapter: Executed, words: tuple[str, ...], **more: Any) -> Section:
    shown = tuple(filter(None, (chapter.words, *words)))
    return Section(
        **{"name": chapter.name, "title": chapter.title, "words": shown, "evidence": (), **more}
    )


def _meanings(found: tuple[Explained, ...]) -> Table:
    names = dict.fromkeys(one.kernel for one in found)
    rows = tuple((name, KERNELS[name].does) for name in names)
    return Table(columns=("kernel", "computes"), rows=rows)


def _summary(checks: tuple[Checked, ...]) -> tuple[str, ...]:
    right = sum(one.verdict == "right" for one in checks)
    launches = sum(len(one.shapes) for one in checks)
    wrong = (f"{_name(c)} on {c.arch}: {c.reason}." for c in checks if c.verdict != "right")
    return (f"{right} of {len(checks)} are right, in {launches} launches.", *wrong)


def _name(one: Checked | Explained) -> str:
    return f"{one.kernel}/{one.config}"


def _row(checked: Checked, found: Explained) -> tuple[str, ...]:
    return (
        _name(found),
        found.arch,
        str(found.build.resources.registers),
        f"{found.verdict.occupancy:.1%}",
        found.verdict.limiter,
        str(len(checked.shapes)),
        checked.verdict,
        f"{checked.excess:.2f}",
        str(found.counters.shared_conflicts),
        f"{_over_least(found):.2f}",
    )


def _over_least(found: Explained) -> float:
    return (found.loads.moved + found.stores.moved) / (found.loads.least + found.stores.least)


def _data(checked: Checked, found: Explained) -> dict[str, Any]:
    counters = found.counters
    return {
        "configuration": _name(found),
        "architecture": found.arch,
        "cubin_hash": checked.cubin_hash,
        "resources": found.build.resources,
        "gate": found.verdict,
        "verdict": checked.verdict,
        "reason": checked.reason,
        "launches": [msgspec.to_builtins(one) for one in checked.shapes],
        "shape": found.shape,
        "mix": counters.mix,
        "bank_conflicts": counters.shared_conflicts,
        "loads": found.loads,
        "stores": found.stores,
    }
