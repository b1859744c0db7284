"""Chapters that price steps: one model on several machines, and its operators on one roof."""

from __future__ import annotations

from pathlib import Path

from ...base.units import show
from ...roofline import Estimate
from ..report.section import Section, Table
from .question import Chapter, Load, Machine, Some, ask


class Machines(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="machines"):
    """One model on several machines: time, throughput, energy and the reasons."""

    model: str
    load: Load
    machines: Some[Machine]


def machines(chapter: Machines, seed: int, here: Path) -> Section:
    """Estimates side by side, as stacked reasons and a table."""
    from ..plots.bars import why

    results = [
        (machine.shown, ask(chapter.model, machine, chapter.load, here))
        for machine in chapter.machines
    ]
    rows = tuple(_row(name, estimate) for name, estimate in results)
    title = f"{chapter.model}, {chapter.load.shown}: a step and its reasons"
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=(chapter.words,) if chapter.words else (),
        evidence=tuple(dict.fromkeys(estimate.evidence for _, estimate in results)),
        tables=(
            Table(
                columns=("machine", "step", "tokens/s", "energy", "limiter", "evidence"), rows=rows
            ),
        ),
        figure=why(results, title),
        data={name: {"seconds": e.seconds, "why": e.why} for name, e in results},
    )


def _row(name: str, estimate: Estimate) -> tuple[str, ...]:
    return (
        name,
        show(estimate.seconds, "s"),
        show(estimate.tokens_per_s, "token/s"),
        "-" if estimate.energy_j is None else show(estimate.energy_j, "J"),
        estimate.limiter,
        estimate.evidence,
    )


class Roof(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="roof"):
    """The operators of several loads of one model on the roof of one machine."""

    model: str
    machine: Machine
    loads: Some[Load]


def roof(chapter: Roof, seed: int, here: Path) -> Section:
    """Where each operator stands under the roof, and what share of the step it takes."""
    from ..plots.roofline import operators_on_the_roof

    machine = chapter.machine
    results = [(load.shown, ask(chapter.model, machine, load, here)) for load in chapter.loads]
    parts = list(dict.fromkeys(part for _, estimate in results for part in estimate.by_part()))
    rows = tuple(
        (part, *(f"{e.by_part().get(part, 0.0) / e.seconds:.1%}" for _, e in results))
        for part in parts
    )
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=(chapter.words,) if chapter.words else (),
        evidence=tuple(dict.fromkeys(estimate.evidence for _, estimate in results)),
        tables=(Table(columns=("part", *(name for name, _ in results)), rows=rows),),
        figure=operators_on_the_roof(
            results,
            machine.system(here),
            f"{chapter.model} on {machine.shown}, tp {machine.tp}",
        ),
        data={name: estimate.by_part() for name, estimate in results},
    )
