"""moesaic run: a whole study, from one file to one report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from . import show

app = typer.Typer()


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="The study's TOML file.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the report.")] = Path("report"),
) -> None:
    """Runs every chapter of a study and writes index.html, PNGs and results.json.

    moesaic run examples/first_light.toml --out report
    """
    from ..sweeps.study import run as run_study

    begin = time.perf_counter()
    page = run_study(
        study, out, lambda line: show.say(f"{time.perf_counter() - begin:6.1f} s  {line}")
    )
    show.say(f"wrote {page}")
