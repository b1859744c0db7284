"""moesaic fpga search: every design of the grid on every board, and what is best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import question as q
from . import show
from .fpga_question import board_of
from .fpga_search_files import Files
from .fpga_search_shown import print_fronts

if TYPE_CHECKING:
    from ..hardware import Fpga
    from ..sweeps.fpga.compare import Score
    from ..sweeps.fpga.lanes import Choice
    from ..sweeps.fpga.search import Front
    from ..workload import MoEModel


On = Annotated[str, typer.Option("--on", help="FPGA boards by commas, or all.")]
Model = Annotated[str, typer.Option("--model", help="A vision model of the catalogue.")]
Tokens = Annotated[
    int | None, typer.Option(min=2, help="Tokens of an image; the model's by default.")
]
Formats = Annotated[str, typer.Option(help="Number formats by commas: w16a32, int16, int8.")]
Counts = Annotated[
    str | None,
    typer.Option("--counts", help="Recorded routing: queues, padding and NL by its load."),
]
Part = Annotated[str | None, typer.Option("--part", help="Which counts of a file with several.")]
Evaluations = Annotated[
    int, typer.Option(help="Of each heuristic, held against the exact front; 0: none.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the heuristics.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads; the result is the same.")]
Out = Annotated[str | None, typer.Option("--out", help="A folder for the fronts as JSON.")]
Png = Annotated[str | None, typer.Option("--png", help="Draw the fronts to this file.")]


def search(
    on: On,
    model: Model,
    tokens: Tokens = None,
    precision: Formats = "w16a32,int16,int8",
    counts: Counts = None,
    part: Part = None,
    evaluations: Evaluations = 0,
    seed: Seed = 0,
    workers: Workers = 2,
    out: Out = None,
    png: Png = None,
    as_json: show.Json = False,
) -> None:
    """Every design of UbiMoE's class on every board: the exact Pareto front of latency, DSP, BRAM,
    bandwidth and energy, and how near heuristic searches come to it.

    Example: moesaic fpga search --on all --model m3vit-tiny --png fronts.png
    """
    from ..sweeps.fpga.compare import check_evaluations, compare
    from ..sweeps.fpga.search import search as ask

    if not model.strip():
        raise BadInput("must not be empty: name a vision model", key="--model")
    files = Files.of(counts, part, out, png)
    if evaluations:
        check_evaluations(evaluations)
    boards, found = _boards(on), q.model_of(model, None)
    count = tokens or found.image_tokens
    if count is None:
        raise BadInput(f"must be given: {found.name} states no image size", key="--tokens")
    queues = None if files.counts is None else _queues(files.counts, part, found, count)
    fronts = ask(boards, found, count, precision.split(","), queues=queues, workers=workers)
    scores = {f.name: compare(f, evaluations, seed) if evaluations else () for f in fronts}
    choices = {} if files.counts is None else _choices(fronts)
    title = f"{found.name}, {count} tokens"
    data = {
        "model": found.name,
        "tokens": count,
        "points": sum(front.points for front in fronts),
        "evidence": "simulated",
        "fronts": [_plain(front, scores[front.name]) for front in fronts],
        "lanes": choices,
    }
    if files.png is not None:
        _draw(files.png, fronts, scores, title)
    if files.fronts is not None:
        show.save_json(files.fronts, data)
    if as_json:
        show.json(data)
    else:
        print_fronts(title, fronts, scores, choices)


def _boards(on: str) -> list[Fpga]:
    from ..hardware.load import names

    return [board_of(name) for name in (names("fpga") if on == "all" else on.split(","))]


def _queues(path: Path, part: str | None, model: MoEModel, tokens: int) -> Any:
    from ..sweeps.fpga.queues import recorded
    from ..workload.readers.detect import load

    return recorded(load(path, part=part), model, tokens)


def _choices(fronts: tuple[Front, ...]) -> dict[str, Choice]:
    from ..sweeps.fpga.lanes import choose

    return {front.name: choose(front.space) for front in fronts if front.inside}


def _plain(front: Front, scores: tuple[Score, ...]) -> dict[str, Any]:
    from ..sweeps.fpga.space import OBJECTIVES

    return {
        "board": front.space.board.name,
        "precision": front.space.precision.name,
        "points": front.points,
        "inside": front.inside,
        "least_interval_s": front.least_interval_s,
        "front": [
            front.parameters(i) | dict(zip(OBJECTIVES, row, strict=True))
            for i, row in enumerate(front.found.objectives.tolist())
        ],
        "heuristics": [
            {
                "name": score.name,
                "evaluations": score.evaluations,
                "hypervolume": score.hypervolume,
                "latency": score.latency,
                "interval": score.interval,
            }
            for score in scores
        ],
    }


def _draw(
    path: Path, fronts: tuple[Front, ...], scores: dict[str, tuple[Score, ...]], title: str
) -> None:
    from ..simulator.fpga import PUBLISHED
    from ..sweeps.plots.fronts import fronts_by_board
    from ..sweeps.plots.style import save

    model = fronts[0].space.model.name
    published: dict[str, list[tuple[str, float, float]]] = {}
    for name, result in PUBLISHED.items():
        if result.dsp is not None and result.model == model:
            found = (name, float(result.dsp), result.latency_s)
            published.setdefault(result.board, []).append(found)
    save(fronts_by_board(fronts, scores, published, title), path)
    show.say(f"wrote {path}")
