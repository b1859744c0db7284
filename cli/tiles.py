"""moesaic tune tiles: which tile to try first, from physics and published winners."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from . import show
from .question import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernels.winners.ranker import Ranker, Score
    from ..kernels.winners.ranking import Ranking

FIRST = 5
NOTE = (
    "rows x columns x depth of a block, Triton's fused MoE in 16 bit; △ simulated: the chance that "
    "a tuning run picks the tile. ○ measured-published: its winner for this GPU, by vLLM or SGLang."
)
SCORED = (
    "Share of published winners (○ measured-published) among the first 1, 5, 10 tiles of a ranking "
    "(△ simulated) that saw nothing of the class; equal ones in random order."
)


def tiles(
    model: Annotated[
        str, typer.Argument(help="A bundled model, or the path of a config.json.")
    ] = "",
    on: Annotated[str, typer.Option("--on", help="A GPU of the catalogue, or a .toml.")] = "",
    batch: Annotated[
        str, typer.Option(help="Tokens in the layer, by commas.")
    ] = "1,16,64,256,1024",
    tp: Annotated[int, typer.Option("--tp", help="GPUs that each expert is split over.")] = 1,
    score: Annotated[
        bool,
        typer.Option("--score", help="Hold the ranking against winners of classes left out."),
    ] = False,
    as_json: show.Json = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The plot (.png, .svg); with --score the constants (.json)."),
    ] = None,
) -> None:
    """Ranks the tiles of the fused MoE kernel for a model, a batch and a GPU, before any is timed.

    Example: moesaic tune tiles mixtral-8x7b --tp 2 --on h100-sxm --batch 1,64,1024

    Example: moesaic tune tiles --score
    """
    if score:
        if model or on:
            raise BadInput("leave out the model and --on: all classes are scored", key="--score")
        _score(as_json, out)
        return
    if not model or not on:
        raise BadInput("needs a model and --on GPU, or --score", key="tune tiles")
    if out and out.suffix not in (".png", ".svg"):
        raise BadInput("the plot is written as .png or .svg", file=out)
    from ..hardware.load import device
    from ..kernels.winners.ranking import ranked_tiles
    from ..workload.load import model as load_model

    gpu, one = device(on), load_model(model)
    found = [ranked_tiles(one, gpu, tokens, tp) for tokens in numbers(batch, "--batch")]
    if as_json:
        show.json([_facts(each) for each in found])
    else:
        columns = ("tokens", *(f"△ {place}." for place in range(1, FIRST + 1)), "○ winner")
        title = f"{one.name}, experts split over {tp}, on {gpu.name}: tiles to try first"
        show.table(title, columns, [_row(each) for each in found], NOTE)
    if out:
        from ..sweeps.plots.style import save
        from ..sweeps.plots.tiles import winner_by_batch

        save(winner_by_batch(one, gpu, tp), out)
        show.say(f"wrote {out}")


def name_of(tile: Sequence[int]) -> str:
    """16x64x128."""
    return "x".join(map(str, tile))


def _row(found: Ranking) -> tuple[str, ...]:
    first = [f"{name_of(one.tile)} ({one.chance:.0%})" for one in found.tiles[:FIRST]]
    winners = dict.fromkeys(name_of(t) for tiles in found.published.values() for t in tiles)
    return (str(found.tokens), *first, ", ".join(winners) or "-")


def _facts(found: Ranking) -> dict[str, Any]:
    return {
        "gpu": found.gpu,
        "tokens": found.tokens,
        "experts": found.shape.experts,
        "inter": found.shape.inter,
        "hidden": found.shape.hidden,
        "top_k": found.shape.top_k,
        "evidence": "simulated",
        "tiles": [{"tile": one.tile, "chance": one.chance} for one in found.tiles],
        "published": {"evidence": "measured-published", "winners": found.published},
    }


def _score(as_json: bool, out: Path | None) -> None:
    """The scores that ship; with a file to write they are computed anew, which takes minutes."""
    from ..kernels.winners.ranker import shipped

    found = shipped()
    if out:
        if out.suffix != ".json":
            raise BadInput("the constants are written as .json", file=out)
        found = _anew(out)
        show.save_json(out, found)
    if as_json:
        show.json(found)
        return
    show.table("published winners found", COLUMNS, [_scored(one) for one in found.scores], SCORED)
    show.say(f"{found.data}; written by: {found.command}")


def _anew(out: Path) -> Ranker:
    from ..kernels.winners.contexts import contexts, feature_tables
    from ..kernels.winners.score import calibrated

    show.say("every class is left out in turn: some minutes")
    command = f"moesaic tune tiles --score --out {out.name}"
    return calibrated(contexts(), feature_tables(), command)


COLUMNS = ("class left out", "winners", "which", "method", "top 1", "top 5", "top 10")


def _scored(one: Score) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (one.top1, one.top5, one.top10))
    return (one.group, str(one.winners), one.part, one.method, *shares)
