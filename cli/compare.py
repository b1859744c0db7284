"""moesaic compare: predictions held against measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import show

if TYPE_CHECKING:
    from ..sweeps.accuracy import Comparison, ErrorRow

app = typer.Typer()


@app.command()
def compare(
    what: Annotated[str, typer.Option(help="moe, gemm, or cpu (timed here and now).")],
    on: Annotated[str, typer.Option("--on", help="The device that was timed.")] = "",
    model: Annotated[
        str, typer.Option(help="roofline, roofline-busiest, constant or tile.")
    ] = "roofline",
    cv: Annotated[
        str, typer.Option("--cv", help="Refit without each row's shape first: shape.")
    ] = "",
    constants: Annotated[
        Path | None, typer.Option(help="A file of `moesaic calibrate`, for the tile model.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="A folder of imported tables, instead of those that ship.")
    ] = None,
    by: Annotated[str, typer.Option(help="Also by these columns, such as dtype,backend.")] = "",
    seed: int = 0,
    json: show.Json = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for the plots, page and tables.")
    ] = None,
) -> None:
    """Signed errors by token band: predicted against measured seconds.

    moesaic compare --what moe --on h100-sxm --model roofline

    moesaic compare --what moe --on h100-sxm --model tile --cv shape --out report

    moesaic compare --what cpu --out report
    """
    from ..sweeps.accuracy import compare as run

    comparison = run(
        what, on, model, folder=measured, cv=cv, constants=constants, seed=seed, tell=show.say
    )
    rows = comparison.by_band()
    for column in filter(None, by.split(",")):
        rows += comparison.by(column)
    _show(comparison, rows, json, out)


def _show(comparison: Comparison, rows: list[ErrorRow], json: bool, out: Path | None) -> None:
    from ..sweeps.chapters.comparisons import COLUMNS, comparison_section, error_cells
    from ..sweeps.report import write

    what, on = comparison.what, comparison.system
    title = f"{what} on {on}: {comparison.model} against measurements"
    if out is not None:
        section = comparison_section(comparison, name=f"{what}-{on}", title=title)
        show.say(f"wrote {write(out, title, [section])}")
    if json:
        show.json(
            {
                "what": what,
                "on": on,
                "model": comparison.model,
                "predicted": comparison.predicted_evidence,
                "measured": comparison.measured_evidence,
                "errors": rows,
            }
        )
        return
    note = (
        f"predicted: {comparison.predicted_evidence}; measured: {comparison.measured_evidence} "
        f"({comparison.table.provenance.source}); negative: predicted faster than measured"
    )
    if comparison.model == "tile":
        note += "; constants fitted on this device's shipped table: --cv shape leaves shapes out"
    show.table(title, COLUMNS, [error_cells(row) for row in rows], note)
