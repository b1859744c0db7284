"""moesaic report: a finished sweep as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import show

app = typer.Typer()


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a finished sweep.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report; DIR/report if not named.")
    ] = None,
) -> None:
    """Writes what a sweep found: index.html that needs nothing else, report.md, results.json and a
    PNG of each plot. Fronts, knees, who wins where, which knob matters, what was proven.

    moesaic report runs/a
    """
    from ..sweeps.chapters.design import sections
    from ..sweeps.design.folder import REPORT, check_outside
    from ..sweeps.design.found import read
    from ..sweeps.report import write

    out = run / REPORT if out is None else out
    check_outside(out, report=True)
    folder, found = read(run)
    told = {"moesaic": folder.manifest.moesaic, "content": folder.manifest.content}
    told |= {"seed": str(folder.manifest.seed)}
    page = write(out, found.space.title, list(sections(found, told)))
    show.say(f"wrote {page}")
