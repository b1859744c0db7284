"""A chapter on where a GPU, PIM in banks, PIM on the logic die, and both together are fastest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count, Spec
from ...base.units import show
from ...workload import RoutingTrace
from ...workload.load import model as load_model
from ...workload.readers.detect import load as load_routing
from ..crossover import ALONE, BANK, BOTH, GPU, Crossing, Floats, around, cross, machines
from ..report.section import Section, Table
from .question import Chapter, Some


class Skew(Spec, frozen=True, kw_only=True):
    """A model, and the recorded routing whose skew its tokens have; uniform without."""

    model: str
    counts: str | None = None
    part: str | None = None


class Crossover(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="pim-crossover"):
    """Maps over batch and number of experts. most_batch: up to this many tokens; steps: points to
    a doubling, of both axes; draws: batches for each recorded layer; layers: recorded layers used,
    spread evenly."""

    maps: Some[Skew]
    on: str = "duplex"
    bank: str = "bank-pim"
    most_batch: Count = 4096
    steps: Count = 2
    draws: Count = 2
    layers: Count = 4


NOTE = (
    "All routed experts of one layer on one device; top_k and the expert parameters stay, so more "
    "experts are narrower ones. Processors read weights at the share of their bandwidth that the "
    "simulated memory leaves them, for the model's own experts; Duplex runs xPU and Logic-PIM at "
    "once, shared by its rule (arXiv 2409.01141)."
)


def crossover(chapter: Crossover, seed: int, here: Path) -> Section:
    """A map for each model, and what happens along its own number of experts."""
    from ..plots.crossover import region_maps

    found = list(crossings(chapter, seed, here))
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, NOTE, _skew(chapter)))),
        evidence=("simulated",),
        tables=(table(found),),
        figure=region_maps(found),
        data=[plain(one) for one in found],
    )


def crossings(chapter: Crossover, seed: int, here: Path) -> Iterator[Crossing]:
    """One map after the other."""
    doublings = np.log2(chapter.most_batch)
    powers = np.arange(np.floor(doublings * chapter.steps) + 1) / chapter.steps
    batches = np.unique(np.append(np.rint(2.0**powers), chapter.most_batch).astype(np.int64))
    for asked in chapter.maps:
        model = load_model(asked.model)
        block = model.experts
        yield cross(
            model,
            machines(model, chapter.on, chapter.bank),
            _recorded(asked, block.count, chapter.layers, here),
            experts=around(block.count, block.top_k, chapter.steps),
            batches=batches,
            draws=chapter.draws,
            seed=seed,
        )


def _recorded(asked: Skew, experts: int, layers: int, here: Path) -> Floats:
    """Loads `[layers, recorded experts]`."""
    if asked.counts is None:
        if asked.part is not None:
            raise BadInput("goes with `counts`", key="part", value=asked.part)
        return np.ones((1, experts))
    routing = load_routing(here / asked.counts, part=asked.part)
    counts = routing.counts() if isinstance(routing, RoutingTrace) else routing
    loads = counts.total()
    some = np.unique(np.linspace(0, len(loads) - 1, layers).round().astype(np.int64))
    return np.asarray(loads[some])


def table(found: list[Crossing]) -> Table:
    """Where the turns lie for the model's own experts, a quarter and four times as many."""
    rows = []
    for one in found:
        own = int(np.searchsorted(one.experts, one.own))
        for row in dict.fromkeys((0, own, one.experts.size - 1)):
            gain, best = one.gain[row], int(one.gain[row].argmax())
            names = np.array(ALONE)[one.fastest[row]]
            rows.append(
                (
                    one.model,
                    str(one.experts[row]),
                    _spans(names.tolist(), one.batches.tolist()),
                    _from(gain > 1, one),
                    f"{gain[best]:.2f}x at {one.batches[best]}",
                    show(float(one.seconds[BOTH][row, best]), "s"),
                )
            )
    return Table(
        columns=(
            "model", "experts", "fastest alone, by tokens", "Duplex fastest of all",
            "most that Duplex gains", "its time there",
        ),
        rows=tuple(rows),
        note=f"Alone: {GPU} is the xPU. Gains are over the fastest alone, {BANK} included.",
    )  # fmt: skip


def _spans(names: list[str], batches: list[int]) -> str:
    """'Bank-PIM 1-64, GPU 91-4096'."""
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ends = [*(i - 1 for i in starts[1:]), len(names) - 1]
    return ", ".join(
        f"{names[a]} {batches[a]}" + (f"-{batches[b]}" if b > a else "")
        for a, b in zip(starts, ends, strict=True)
    )


def _from(holds: NDArray[np.bool_], one: Crossing) -> str:
    """The batches at which it holds, from the first to the last."""
    where = np.flatnonzero(holds)
    if not where.size:
        return "nowhere"
    return f"{one.batches[where[0]]}-{one.batches[where[-1]]}"


def plain(one: Crossing) -> dict[str, object]:
    """The map for programs."""
    return {
        "model": one.model,
        "own_experts": one.own,
        "experts": one.experts.tolist(),
        "batches": one.batches.tolist(),
        "seconds": {name: values.tolist() for name, values in one.seconds.items()},
        "fastest_alone": np.array(ALONE)[one.fastest].tolist(),
        "gain": one.gain.tolist(),
    }


def _skew(chapter: Crossover) -> str:
    said = [
        f"{one.model}: {one.counts.rpartition('/')[2]}{f' ({one.part})' if one.part else ''}"
        if one.counts
        else f"{one.model}: uniform"
        for one in chapter.maps
    ]
    return (
        f"Skew of the loads by recorded layers: {'; '.join(said)}. A recording of another number "
        "of experts gives its quantile function: the popular tenth of the experts keeps its share. "
        "Each token takes its experts by these chances, on its own."
    )
