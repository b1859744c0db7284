"""A chapter that schedules a step on devices and links."""

from __future__ import annotations

from pathlib import Path

from ...base.units import show
from ...roofline import bound, fit, operators
from ...simulator import LANES, simulate
from ..report.section import Section, Table
from .question import Chapter, Load, Machine


class Lanes(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="timeline"):
    """A step of one model in time on one machine."""

    model: str
    machine: Machine
    load: Load


def lanes(chapter: Lanes, seed: int, here: Path) -> Section:
    """The lanes of the first devices, and how busy all of them are."""
    from ..plots.timeline import lanes as draw

    machine = chapter.machine
    model, system = machine.model(chapter.model, here), machine.system(here)
    parallel = machine.parallel()
    table = operators(model, chapter.load.step(model), system, parallel)
    fit(model, table, system, parallel).demand(system)
    timeline, apart = simulate(table, system), bound(table, system)
    busy = timeline.busy()
    words = (
        f"{show(timeline.seconds, 's')} with work that overlaps, {show(apart.seconds, 's')} one "
        f"operator after the other: overlap saves {1 - timeline.seconds / apart.seconds:.1%}."
    )
    rows = tuple(
        (str(device), *(f"{busy[device, i]:.1%}" for i in range(len(LANES))))
        for device in range(min(8, timeline.devices))
    )
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, words))),
        evidence=(timeline.evidence,),
        tables=(Table(columns=("device", *(f"{lane} busy" for lane in LANES)), rows=rows),),
        figure=draw(timeline, f"{chapter.model} on {machine.shown}, {chapter.load.shown}"),
        data={"seconds": timeline.seconds, "one_after_the_other_s": apart.seconds},
    )
