"""moesaic reproduce: published numbers beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..base import BadInput
from . import show

app = typer.Typer()


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="moetuner, exflow, llep, duplex, ubimoe, or all.")],
    popularity: Annotated[
        Path | None,
        typer.Option("--popularity", help="MoETuner under these recorded counts of Mixtral-8x7B."),
    ] = None,
    part: Annotated[
        str | None, typer.Option("--part", help="Which counts of a file with several.")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="A quick look: fewer cases, one detail or reading.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of drawn routing.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for the plots, page and tables.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """The claims of a paper, ours beside them: error, status, and why they differ.

    Example: moesaic reproduce moetuner --out report
    """
    from ..sweeps.papers import Question, reproduce
    from ..sweeps.papers.claim import table
    from ..sweeps.report import write
    from ..workload import RoutingCounts
    from ..workload.readers.detect import load

    if out is not None and out.exists() and not out.is_dir():
        raise BadInput("is no folder", key="--out", value=str(out))
    counts = None
    if popularity is not None:
        recorded = load(popularity, part=part)
        counts = recorded if isinstance(recorded, RoutingCounts) else recorded.counts()
        if paper not in ("moetuner", "all"):
            raise BadInput("goes with moetuner (or all)", key="--popularity", value=paper)
    elif part is not None:
        raise BadInput("goes with --popularity", key="--part", value=part)
    found = reproduce(paper, Question(seed=seed, small=small, popularity=counts, say=show.say))
    if out is not None:
        show.say(f"wrote {write(out, f'Published and ours: {paper}', found.sections)}")
    if as_json:
        show.json([claim.summary() for claim in found.claims])
    else:
        shown = table(found.claims)
        show.table(f"{paper}: published beside ours", shown.columns, shown.rows, shown.note)
