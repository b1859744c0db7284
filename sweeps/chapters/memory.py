"""A chapter on one memory: what expert streams get of it, and what that does to a decode step."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from ...base import Count, Spec
from ...base.units import show
from ...hardware.load import dram_config
from ...simulator import estimate
from ...simulator.memory import (
    Cells,
    Controller,
    Expert,
    Row,
    best_map,
    efficiency_table,
    system_efficiency,
)
from ...workload.load import model as load_model
from ..report.section import Section, Table
from .question import Chapter, Load, Machine, Some


class Case(Spec, frozen=True, kw_only=True):
    """A step whose memory is simulated."""

    model: str
    machine: Machine
    load: Load


class Memory(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="memory"):
    """Expert streams of `models` on a DRAM config over its maps and `cells`; then each of `steps`
    at peak bandwidth, under the memory's own map and under the best one, with queues of `queue`."""

    memory: str
    models: Some[str]
    cells: Cells = Cells(queues=(32,), layouts=("contiguous", "split", "rows"))
    steps: tuple[Case, ...] = ()
    queue: Count = 32


OWN = "own"
NOTE = (
    "Simulated: readers take turns and are never late, each channel waits for its own requests "
    "only. Maps of GPUs are not published; these are ours."
)


def memory(chapter: Memory, seed: int, here: Path) -> Section:
    """The heat map of shares, the best map of each stream, and the steps beside their bound."""
    from ..plots.memory import efficiency_maps

    config = dram_config(_in(here, chapter.memory))
    models = [load_model(_in(here, name)) for name in chapter.models]
    experts = {model.name: (Expert.of(model), model.experts.count) for model in models}
    rows = efficiency_table(config, Controller(), experts, chapter.cells)
    best = best_map(rows)
    steps = [_step(case, chapter.queue, best, here) for case in chapter.steps]
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=(chapter.words,) if chapter.words else (),
        evidence=("simulated", "bound") if steps else ("simulated",),
        tables=(_streams(rows), *([_steps(steps, best)] if steps else [])),
        figure=efficiency_maps(rows),
        data={
            "best": best,
            "rows": [msgspec.to_builtins(row) for row in rows],
            "steps": [
                {"model": s.case.model, "seconds": s.seconds, "weights": s.weights} for s in steps
            ],
        },
    )


def _in(here: Path, name: str) -> str | Path:
    """A name of the catalogue as it is; a file counts from the study's folder."""
    return here / name if name.endswith((".toml", ".json")) else name


def _streams(rows: list[Row]) -> Table:
    streams = dict.fromkeys((row.stream, row.expert_bytes) for row in rows)
    return Table(
        columns=("experts of", "one expert", "best map", "its worst", "its best", "worst of all"),
        rows=tuple(
            (
                name,
                show(size, "B"),
                best,
                f"{min(shares):.1%}",
                f"{max(shares):.1%}",
                f"{min(row.share_of_peak for row in part):.1%}",
            )
            for name, size in streams
            for part in [[row for row in rows if row.stream == name]]
            for best in [best_map(part)]
            for shares in [[row.share_of_peak for row in part if row.map == best]]
        ),
        note=NOTE,
    )


class Step(NamedTuple):
    """Seconds of a step by map ('bound': at peak bandwidth) and the share that weights reach."""

    case: Case
    seconds: dict[str, float]
    weights: dict[str, float]


def _step(case: Case, queue: int, best: str, here: Path) -> Step:
    model, system = case.machine.model(case.model, here), case.machine.system(here)
    step, parallel = case.load.step(model), case.machine.parallel()
    controller = Controller(read_queue=queue, write_queue=queue)
    seconds = {"bound": estimate(model, step, system, parallel=parallel).seconds}
    weights = {}
    for name in (OWN, best):
        share = system_efficiency(system, model, controller, map_name="" if name == OWN else name)
        weights[name] = share.weights
        seconds[name] = estimate(model, step, system, parallel=parallel, efficiency=share).seconds
    return Step(case, seconds, weights)


def _steps(steps: list[Step], best: str) -> Table:
    return Table(
        columns=(
            "model", "machine", "a token of each request", "at peak bandwidth (bound)",
            "the memory's own map", f"map {best}", "weights, own", f"weights, {best}",
        ),
        rows=tuple(
            (
                step.case.model,
                step.case.machine.shown,
                step.case.load.shown,
                show(step.seconds["bound"], "s"),
                *(
                    f"{show(step.seconds[name], 's')} "
                    f"({step.seconds[name] / step.seconds['bound']:.2f}x)"
                    for name in (OWN, best)
                ),
                *(f"{step.weights[name]:.1%}" for name in (OWN, best)),
            )
            for step in steps
        ),
        note="Simulated but for the bound: bytes over bandwidth times the share of each stream.",
    )  # fmt: skip
