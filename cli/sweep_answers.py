"""moesaic sweep front, knobs, why: what a finished run found, on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ..base import MARKS, BadInput
from . import show

if TYPE_CHECKING:
    from ..base.parquet import Columns

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished run.")]

MOST_ROWS = 60
"""Designs of a front on a terminal."""


@app.command()
def front(
    folder: Folder,
    by_objective: Annotated[
        str, typer.Option(help="Best first at this objective; else at the space's first.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Designs; {MOST_ROWS}, all with --json.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """The designs that no other beats, group by group; the knee of each group; what is proven, and
    what each goal leaves.

    Example: moesaic sweep front runs/a --by-objective tpot_s --limit 20
    """
    from ..sweeps.design.found import read
    from ..sweeps.design.told import order
    from .sweep_answers_shown import front_facts, show_front

    run, found = read(folder)
    chosen = order(found, by_objective)
    if as_json:
        show.json(front_facts(run, found, chosen[:limit]))
    else:
        show_front(found, chosen[: limit or MOST_ROWS], chosen.size)


@app.command()
def knobs(folder: Folder, as_json: show.Json = False) -> None:
    """Which axis matters for which objective: shares of variance, alone and with interactions.

    Example: moesaic sweep knobs runs/a
    """
    from ..sweeps.chapters.design import KNOBS, knob
    from ..sweeps.design.found import read

    _, found = read(folder)
    if as_json:
        show.json({"evidence": "bound", "effects": found.effects})
        return
    if not found.effects:
        print(
            f"{found.space.title}: no axis takes two values among the points that fit, so there "
            "is no knob to weigh."
        )
        return
    show.table(
        f"{found.space.title}: which knob matters {MARKS['bound']}",
        KNOBS,
        [knob(effect) for effect in found.effects],
        "Shares of variance (Sobol's first and total indices; logarithms of positive objectives) "
        f"over the points that fit; factor: worst mean over best. {MARKS['bound']} bound.",
    )


@app.command()
def why(
    folder: Folder,
    point: Annotated[str, typer.Argument(metavar="POINT", help="Its number, of `sweep front`.")],
    as_json: show.Json = False,
) -> None:
    """Why a point gives what it gives: where the time of its step goes, who beats it, and what
    one step along each axis would change.

    Example: moesaic sweep why runs/a 356
    """
    from ..sweeps.design.evaluate import evaluate
    from ..sweeps.design.folder import opened
    from ..sweeps.design.found import Rows, check_finished
    from ..sweeps.design.why import why as asked
    from .sweep_answers_shown import Seen, show_why, why_facts

    if not point.isascii() or not point.isdigit() or len(point) > 18:
        raise BadInput(
            "must be a whole number, such as `moesaic sweep front` names", key="POINT", value=point
        )
    run = opened(folder)
    check_finished(run)
    space, rows = run.space, Rows(run)
    number = np.array([int(point)])
    seen = Seen.of(run, rows, number)
    # Beaten as closely as it was looked at: a simulated number is not held against bounds.
    rivals = rows.read(seen.stage, space.needed)

    def ask(words: Columns) -> Columns:
        return evaluate(words, "bound", space.seed, space.here)

    found = asked(space, int(point), ask, rivals)
    if as_json:
        show.json(why_facts(found, seen))
    else:
        show_why(found, seen)
