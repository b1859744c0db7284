"""moesaic tune: few measurements instead of hundreds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput
from . import show
from .tiles import tiles
from .tune_run import run
from .tune_survey import fit, survey

if TYPE_CHECKING:
    from ..kernels.search import Recording

app = typer.Typer(
    no_args_is_help=True,
    help="Kernels tuned by few measurements; searches replayed on recorded spaces.",
)
app.command()(run)


@app.command()
def replay(
    caches: Annotated[
        list[str],
        typer.Argument(
            metavar="CACHE...",
            help="Recorded spaces: names of those that ship, or files: CSV, Kernel Tuner's cache, "
            "T4 results.",
        ),
    ],
    strategy: Annotated[
        str,
        typer.Option(help="With commas: guided, random, ga, bo, transfer; kt-NAME: Kernel Tuner's"),
    ] = "guided,random,ga,bo",
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Searches of each strategy.")] = 20,
    budget: Annotated[int, typer.Option(min=1, max=100_000, help="Different evaluations.")] = 200,
    teachers: Annotated[
        str,
        typer.Option(
            help="Recorded spaces of other devices, with commas, the most alike first, or none. "
            "Without it those that ship of the same kernel."
        ),
    ] = "",
    jobs: Annotated[int, typer.Option(min=-1, help="Processes; -1 for all processors.")] = -1,
    as_json: show.Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for replay.json, replay.png and replay.svg.")
    ] = None,
) -> None:
    """Replays searches on spaces that were measured whole: how near the optimum, how soon.

    Only different configurations count, and those that fail count too. No search sees a time of the
    space but those that it asked for.

    Example: moesaic tune replay convolution-a100 gemm-rtx3090 --seeds 20
    Example: moesaic tune replay convolution-a4000 --strategy guided,transfer --out report
    """
    from ..kernels.search import recorded_space
    from ..kernels.search import replay as replayed
    from .tune_shown import replay_facts, save_replays, show_replays

    names = list(dict.fromkeys(word.strip() for word in strategy.split(",") if word.strip()))
    spaces = [recorded_space(cache) for cache in dict.fromkeys(caches)]
    if twice := [name for name, count in Counter(one.name for one in spaces).items() if count > 1]:
        raise BadInput("two files have this name; rename one", key=twice[0])
    taught = [_teachers(space, teachers) for space in spaces]
    done = []
    for space, others in zip(spaces, taught, strict=True):
        show.say(f"{space.name}: {seeds} searches by each of {', '.join(names)}")
        done += replayed(space, names, seeds, budget, [one.teacher for one in others], jobs)
    if out:
        save_replays(out, spaces, done)
    if as_json:
        show.json(replay_facts(spaces, done))
    else:
        show_replays(spaces, done)


def _teachers(space: Recording, words: str) -> list[Recording]:
    from ..kernels.search import recorded_space, teachers_of
    from ..kernels.search.packaged import require_kin

    if not words:
        return teachers_of(space)
    if words == "none":
        return []
    named = [recorded_space(word.strip()) for word in words.split(",") if word.strip()]
    if not named:
        raise BadInput("names no space; `none` stands for no teacher", key="--teachers")
    for one in named:
        require_kin(space, one)
    return named


app.command()(tiles)
app.command()(survey)
app.command()(fit)
