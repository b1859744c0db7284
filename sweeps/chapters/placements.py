"""A chapter that places the experts of a recorded trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count
from ...placement import Placement, Problem, solve
from ...placement.formats import sglang
from ...workload import RoutingTrace
from ...workload.readers.detect import load as load_routing
from ..placements import halves
from ..report.section import Section, Table
from .question import Chapter, Some


class Homes(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="placement"):
    """Experts of a trace on the ranks of a machine, learnt on one half of the requests and scored
    on the other. The first method is what the others are held against; the last one is shown and
    written as a file that an engine loads."""

    trace: str
    ranks: Count
    methods: Some[str] = ("contiguous", "lpt", "lpt-swaps")
    time_limit_s: float = 10.0


def homes(chapter: Homes, seed: int, here: Path, out: Path | None) -> Section:
    """Loads before and after; a table of every method on tokens that it has not seen."""
    from ..plots.loads import loads_before_and_after

    routing = load_routing(here / chapter.trace)
    if not isinstance(routing, RoutingTrace):
        raise BadInput("holds counts; this chapter needs tokens", file=chapter.trace)
    learn, fresh = halves(routing)
    problem = Problem.of(learn, chapter.ranks)
    placements = {
        method: solve(problem, method, time_limit_s=chapter.time_limit_s, seed=seed)
        for method in chapter.methods
    }
    unseen = fresh.counts().total()
    if not unseen.any(axis=1).all():
        raise BadInput("leaves a layer without tokens in one half", file=chapter.trace)
    first, last = chapter.methods[0], chapter.methods[-1]
    rank_loads = {m: p.expert_map.rank_loads(unseen) for m, p in placements.items()}
    busiest = {m: (r.max(axis=1) / r.mean(axis=1)) for m, r in rank_loads.items()}
    saved = 1 - busiest[last].mean() / busiest[first].mean()
    words = (
        f"{routing.tokens} tokens of {Path(chapter.trace).name}: {routing.experts} "
        f"experts, top {routing.top_k}, on {chapter.ranks} ranks. Each method learns on one half "
        f"({learn.tokens} tokens) and is scored on the other ({fresh.tokens}). On those unseen "
        f"tokens {last} has a busiest rank {saved:.1%} below {first}'s, averaged over the layers."
    )
    equal = routing.experts % chapter.ranks == 0
    if out is not None and equal:
        sglang.write(out / f"{chapter.name}.json", placements[last])
    if not equal:
        words += " No file for an engine: SGLang wants equally many experts on each rank."
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, words))),
        evidence=("simulated", "bound"),
        tables=(_table(placements, busiest),),
        figure=loads_before_and_after(
            rank_loads[first], rank_loads[last], (first, last), "Unseen requests"
        ),
        data={m: {"unseen": b.tolist(), "gap": placements[m].gap} for m, b in busiest.items()},
    )


def _table(placements: dict[str, Placement], busiest: dict[str, NDArray[np.float64]]) -> Table:
    rows = tuple(
        (
            method,
            f"{placement.rank_max.sum() / placement.bound.sum():.4f}",
            "yes" if placement.proven else "no",
            f"{busiest[method].mean():.3f}",
            f"{busiest[method].max():.3f}",
        )
        for method, placement in placements.items()
    )
    return Table(
        columns=(
            "method",
            "learnt: busiest / bound",
            "proven optimal",
            "unseen: busiest / mean",
            "worst layer",
        ),
        rows=rows,
        note="The bound is what no placement of the learning half can go below.",
    )
