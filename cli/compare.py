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


What = Annotated[
    str,
    typer.Option(
        help="moe, gemm, attention (several by commas), power (watts), cpu, timed here, or dram, "
        "beside other simulators."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="By commas: roofline, roofline-busiest, constant, tile; with --cv shape: boosted, "
        "tile, tile+trees (all three by default)."
    ),
]


@app.command()
def compare(
    what: What,
    on: Annotated[
        str, typer.Option("--on", help="Devices that were timed, or memories, by commas, or all.")
    ] = "",
    model: Model = "",
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

    moesaic compare --what power --on b200-sxm

    moesaic compare --what cpu --out report

    moesaic compare --what dram --on hbm2_2000_4Gb_1pc --out report
    """
    if what == "dram":
        if model or cv or why or by or constants or trees or measured or seed:
            raise BadInput("has nothing to fit: give --on, --json or --out", key="dram")
        _show_dram(on, json, out)
        return
    if what == "power":
        if model or cv or why or by or constants or trees or out:
            raise BadInput("has one model: give --on, --measured, --seed or --json", key="power")
        _show_power(on, measured, seed, json)
        return
    if why and (constants is not None or "moe" not in what.split(",")):
        raise BadInput("is told of moe tables, by the constants that ship", key="--why")
    models = model.split(",") if model else None
    found = _compared(what, on, models, measured, cv, constants, trees, seed)
    reasons = _why(found, seed) if why else {}
    _show([(one, _rows(one, by)) for one in found], reasons, json, out)


def _show_power(on: str, folder: Path | None, seed: int, json: bool) -> None:
    """Watts of recorded MoE layers; their times predicted without each row's shape."""
    from ..hardware.load import device
    from ..measured import load
    from ..sweeps.accuracy.watts import predicted_watts, watt_errors
    from ..sweeps.chapters.comparisons import COLUMNS, error_cells

    if not on:
        raise BadInput("name the GPU, such as b200-sxm", key="--on")
    table = load("power", on, folder)
    gpu = device(table.system)
    rows = watt_errors(table, predicted_watts(table, gpu, seed, show.say))
    if json:
        evidence = {"predicted": "simulated", "measured": table.evidence}
        show.json({"what": "power", "on": gpu.name, **evidence, "errors": rows})
        return
    note = (
        f"board watts; predicted: simulated; measured: {table.evidence} "
        f"({table.provenance.source}). Times by constants fitted without each row's shape; the "
        "watts' own constants were fitted on the shipped table"
    )
    title = f"power of moe layers on {gpu.name}: watts against measurements"
    show.table(title, COLUMNS, [error_cells(row) for row in rows], note)


def _show_dram(on: str, json: bool, out: Path | None) -> None:
    """The memory core beside two other simulators, memory by memory."""
    from ..sweeps.accuracy.dram import beside_peers, peer_configs
    from ..sweeps.chapters.dram_peers import peers_section, summary
    from ..sweeps.report import write

    rows = beside_peers(peer_configs(on), tell=show.say)
    section = peers_section(rows)
    if out is not None:
        show.say(f"wrote {write(out, section.title, [section])}")
    if json:
        show.json({"what": "dram", "evidence": "simulated", "rows": section.data})
        return
    for table in section.tables:
        show.table(table.note, table.columns, table.rows)
    show.say(" ".join((*section.words[:2], summary(rows))))


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

    kinds = what.split(",")
    for alone, why in (
        ("cpu", "is timed here"),
        ("power", "is in watts"),
        ("dram", "is simulated"),
    ):
        if alone in kinds and what != alone:
            raise BadInput(f"{alone} {why}: ask for it alone", key="--what", value=what)
    if models is None:
        models = list(CROSS_VALIDATED.get(cv, ())) if cv else ["roofline"]
    return [
        comparison
        for kind in kinds
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


def _why(found: list[Comparison], seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Device -> reason -> band -> mean share of the measured time of its MoE layers."""
    from ..hardware.load import device
    from ..sweeps.accuracy.why import reasons_of, shares

    return {
        one.system: shares(one, reasons_of(one.table, device(one.system), seed))
        for one in {one.system: one for one in found if one.what == "moe"}.values()
    }


def _show_why(on: str, found: dict[str, dict[str, float]]) -> None:
    bands = list(next(iter(found.values())))
    rows = [[reason, *(f"{part[band]:+.1%}" for band in bands)] for reason, part in found.items()]
    rows.append(["sum", *(f"{sum(part[band] for part in found.values()):.1%}" for band in bands)])
    note = (
        "mean shares of the measured time; simulated, by the constants that ship; negative: the "
        "step before counts too much (loads dealt evenly touch most experts, caches save bytes)"
    )
    show.table(f"Why, moe on {on}", ["reason", *bands], rows, note)


def _rows(comparison: Comparison, by: str) -> list[ErrorRow]:
    rows = comparison.by_band() + comparison.by_slowdown()
    for column in filter(None, by.split(",")):
        rows += comparison.by(column)
    return rows


def _show(
    found: list[tuple[Comparison, list[ErrorRow]]],
    reasons: dict[str, dict[str, dict[str, float]]],
    json: bool,
    out: Path | None,
) -> None:
    from ..sweeps.chapters.comparisons import COLUMNS, comparison_sections, error_cells, overview
    from ..sweeps.report import write

    if out is not None:
        sections = [section for one, _ in found for section in comparison_sections(one)]
        if len(found) > 1:
            sections.insert(0, overview([one for one, _ in found]))
        title = "Predictions against measurements" if len(found) > 1 else sections[0].title
        show.say(f"wrote {write(out, title, sections)}")
    if json:
        data = [{**_plain(one, rows), **_why_of(one, reasons)} for one, rows in found]
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
    for on, shares in reasons.items():
        _show_why(on, shares)


def _plain(comparison: Comparison, rows: list[ErrorRow]) -> dict[str, object]:
    return {
        "what": comparison.what,
        "on": comparison.system,
        "model": comparison.model,
        "predicted": comparison.predicted_evidence,
        "measured": comparison.measured_evidence,
        "errors": rows,
    }


def _why_of(
    comparison: Comparison, reasons: dict[str, dict[str, dict[str, float]]]
) -> dict[str, object]:
    told = comparison.what == "moe" and comparison.system in reasons
    return {"why": reasons[comparison.system]} if told else {}
