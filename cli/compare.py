"""moesaic compare: predictions held against measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..sweeps.accuracy import Comparison, ErrorRow

app = typer.Typer()


@app.command()
def compare(
    what: Annotated[
        str, typer.Option(help="moe, gemm, attention (several by commas), or cpu, timed here.")
    ],
    on: Annotated[
        str, typer.Option("--on", help="Devices that were timed, by commas, or all.")
    ] = "",
    model: Annotated[
        str,
        typer.Option(
            help="By commas: roofline, roofline-busiest, constant, tile; with --cv shape: boosted, "
            "tile, tile+trees (all three by default)."
        ),
    ] = "",
    cv: Annotated[
        str, typer.Option("--cv", help="Learn again without each row's shape, or gpu, first.")
    ] = "",
    constants: Annotated[
        Path | None, typer.Option(help="A file of `moesaic calibrate`, for the tile model.")
    ] = None,
    trees: Annotated[
        Path | None, typer.Option(help="A correction of `moesaic calibrate --trees`, beside them.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option(help="A folder of imported tables, instead of those that ship.")
    ] = None,
    by: Annotated[str, typer.Option(help="Also by these columns, such as dtype,backend.")] = "",
    why: Annotated[
        bool, typer.Option("--why", help="Where measured MoE layers lose time, reason by reason.")
    ] = False,
    seed: int = 0,
    json: show.Json = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for the plots, page and tables.")
    ] = None,
) -> None:
    """Signed errors by token band: predicted against measured seconds.

    moesaic compare --what moe --on h100-sxm --model roofline

    moesaic compare --what moe,gemm,attention --on all --cv shape --out report

    moesaic compare --what moe --on l40s --cv gpu

    moesaic compare --what moe --on h100-sxm --model tile --why

    moesaic compare --what cpu --out report
    """
    models = model.split(",") if model else None
    found = _compared(what, on, models, measured, cv, constants, trees, seed)
    _show([(one, _rows(one, by)) for one in found], json, out)
    for one in {one.system: one for one in found}.values() if why else ():
        _why(one, seed)


def _compared(
    what: str,
    on: str,
    models: list[str] | None,
    folder: Path | None,
    cv: str,
    constants: Path | None,
    trees: Path | None,
    seed: int,
) -> list[Comparison]:
    """Every model on every table; without models, those that can be learnt again, or the bound."""
    from ..sweeps.accuracy.compare import CROSS_VALIDATED, compare_models, devices

    if "cpu" in what and what != "cpu":
        raise BadInput("cpu is timed here: ask for it alone", key="--what", value=what)
    if models is None:
        models = list(CROSS_VALIDATED.get(cv, ())) if cv else ["roofline"]
    return [
        comparison
        for kind in what.split(",")
        for gpu in devices(kind, on, folder)
        for comparison in compare_models(
            kind,
            gpu,
            models,
            folder=folder,
            cv=cv,
            constants=constants,
            trees=trees,
            seed=seed,
            tell=show.say,
        )
    ]


def _why(comparison: Comparison, seed: int) -> None:
    from ..hardware.load import device
    from ..sweeps.accuracy.why import reasons_of, shares

    found = shares(comparison, reasons_of(comparison.table, device(comparison.system), seed))
    bands = list(next(iter(found.values())))
    rows = [[reason, *(f"{part[band]:+.1%}" for band in bands)] for reason, part in found.items()]
    rows.append(["sum", *(f"{sum(part[band] for part in found.values()):.1%}" for band in bands)])
    note = "mean shares of the measured time; by the tile model with the constants that ship"
    show.table(f"Why, {comparison.what} on {comparison.system}", ["reason", *bands], rows, note)


def _rows(comparison: Comparison, by: str) -> list[ErrorRow]:
    rows = comparison.by_band() + comparison.by_slowdown()
    for column in filter(None, by.split(",")):
        rows += comparison.by(column)
    return rows


def _show(found: list[tuple[Comparison, list[ErrorRow]]], json: bool, out: Path | None) -> None:
    from ..sweeps.chapters.comparisons import COLUMNS, comparison_sections, error_cells, overview
    from ..sweeps.report import write

    if out is not None:
        sections = [section for one, _ in found for section in comparison_sections(one)]
        if len(found) > 1:
            sections.insert(0, overview([one for one, _ in found]))
        title = "Predictions against measurements" if len(found) > 1 else sections[0].title
        show.say(f"wrote {write(out, title, sections)}")
    if json:
        data = [_plain(comparison, rows) for comparison, rows in found]
        show.json(data if len(data) > 1 else data[0])
        return
    for comparison, rows in found:
        note = (
            f"predicted: {comparison.predicted_evidence}; measured: {comparison.measured_evidence} "
            f"({comparison.table.provenance.source}); negative: predicted faster than measured"
        )
        if comparison.model == "tile":
            note += (
                "; constants fitted on this device's shipped table: --cv shape leaves shapes out"
            )
        title = f"{comparison.what} on {comparison.system}: {comparison.model} against measurements"
        show.table(title, COLUMNS, [error_cells(row) for row in rows], note)


def _plain(comparison: Comparison, rows: list[ErrorRow]) -> dict[str, object]:
    return {
        "what": comparison.what,
        "on": comparison.system,
        "model": comparison.model,
        "predicted": comparison.predicted_evidence,
        "measured": comparison.measured_evidence,
        "errors": rows,
    }
