"""moesaic kernel mutants: faults put into the kernels on purpose, and which check sees each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..kernels.compiled.mutants import Verdict
    from ..sweeps.report import Section

Kernels = Annotated[
    list[str] | None, typer.Argument(metavar="[KERNEL]...", help="All kernels without it.")
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the numbers and the orders.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the table as Markdown (.md).")]

WORDS = (
    "Each row is a fault put into a kernel's source on purpose. The mutant is compiled like the "
    "kernel itself, executed on the CPU on the kernel's shapes, and held to three checks: the "
    "executor's faults (races, uninitialised data, bounds, hangs), the numbers against float64, "
    "and the bank conflicts of ldmatrix against those of the unharmed kernel. The first that sees "
    "it is named. A mutant that the compiler would refuse is not counted.",
)
NOT_SEEN = "Those that no check sees, and why: in the last column."


def mutants(
    kernels: Kernels = None, seed: Seed = 0, as_json: show.Json = False, out: Out = None
) -> None:
    """Puts faults into the kernels on purpose and says which check sees each of them.

    Example: moesaic kernel mutants split-reduce

    Example: moesaic kernel mutants --out docs/kernel-mutants.md
    """
    from ..base.files import write_text
    from ..kernels import kernel
    from ..kernels.compiled.mutants import mutants as all_mutants
    from ..kernels.compiled.mutants import trials
    from ..sweeps.report import markdown

    if out and out.suffix != ".md":
        raise BadInput("the table is written as Markdown: name a file that ends in .md", file=out)
    names = {kernel(name).name for name in kernels or ()}
    chosen = [one for one in all_mutants() if not names or one.kernel in names]
    found = []
    said = time.monotonic()
    for one in trials(chosen, seed):
        found.append(one)
        if time.monotonic() - said > 5:
            show.say(f"{len(found)} of {len(chosen)} mutants")
            said = time.monotonic()
    if as_json:
        show.json([_facts(one) for one in found])
    else:
        show.table("mutants", COLUMNS, [_row(one) for one in found], _summary(found))
    if out:
        text = markdown("Mutants of the kernels", _sections(found))
        write_text(out, text)
        show.say(f"wrote {out}")
    if any(not one.caught and not one.mutant.fault.missed for one in found):
        raise typer.Exit(1)


COLUMNS = ("kernel/configuration", "fault", "change", "seen by", "what it said")


def _row(one: Verdict) -> tuple[str, ...]:
    mutant = one.mutant
    name = f"{mutant.kernel}/{mutant.config}"
    return (name, mutant.fault.kind, mutant.change, one.by or "nothing", one.words)


def _summary(found: Sequence[Verdict]) -> str:
    caught = sum(one.caught for one in found)
    return (
        f"{caught} of {len(found)} mutants are seen ({caught / max(len(found), 1):.1%}); simulated"
    )


def _sections(found: Sequence[Verdict]) -> list[Section]:
    from ..sweeps.report import Section, Table

    kinds = Counter(one.mutant.fault.kind for one in found)
    seen = Counter(one.mutant.fault.kind for one in found if one.caught)
    by = Counter(one.by for one in found if one.caught)
    unseen = tuple(_row(one) for one in found if not one.caught)
    summary = Section(
        name="summary",
        title="By kind",
        words=(*WORDS, _summary(found) + "."),
        evidence=("simulated",),
        tables=(
            Table(
                columns=("fault", "mutants", "seen"),
                rows=tuple((kind, str(n), str(seen[kind])) for kind, n in kinds.items()),
            ),
            Table(
                columns=("seen by", "mutants"), rows=tuple((k, str(n)) for k, n in by.most_common())
            ),
            *([Table(columns=COLUMNS, rows=unseen, note=NOT_SEEN)] if unseen else []),
        ),
    )
    kernels = dict.fromkeys(one.mutant.kernel for one in found)
    return [
        summary,
        *(
            Section(
                name=name,
                title=name,
                words=(),
                evidence=(),
                tables=(
                    Table(
                        columns=COLUMNS,
                        rows=tuple(_row(one) for one in found if one.mutant.kernel == name),
                    ),
                ),
            )
            for name in kernels
        ),
    ]


def _facts(one: Verdict) -> dict[str, Any]:
    return {
        "kernel": one.mutant.kernel,
        "config": one.mutant.config,
        "fault": one.mutant.fault,
        "seen_by": one.by,
        "words": one.words,
    }
