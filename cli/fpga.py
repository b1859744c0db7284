"""moesaic fpga: accelerators for MoE vision models, by closed form and cycle by cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from . import fpga_question as f
from . import show
from .fpga_fifo import fifo
from .fpga_gemm import gemm
from .fpga_resources import resources
from .fpga_rtl import rtl
from .fpga_search import search
from .fpga_simulate import simulate

if TYPE_CHECKING:
    from ..simulator.fpga import BoardResult, Bracket

app = typer.Typer(
    no_args_is_help=True,
    help="FPGA accelerators: designs as published, what they take for an image, and in time.\n\n"
    "Example: moesaic fpga simulate ubimoe --on zcu102 --model m3vit-tiny",
)


for command in (simulate, fifo, search, resources, rtl, gemm):
    app.command()(command)


@app.command("list")
def list_(json: show.Json = False) -> None:
    """List the designs with their parameters.

    Example: moesaic fpga list
    """
    from ..simulator.fpga import DESIGNS, Design

    names = (*(name for name in Design.__struct_fields__ if name != "design"), "dsp")
    rows = [
        {"design": name} | {field: getattr(one, field) for field in names}
        for name, one in DESIGNS.items()
    ]
    if json:
        show.json(rows)
        return
    table = [[field, *(row[field] for row in rows)] for field in names]
    show.table("", ["parameter", *DESIGNS], table, note="dsp: of the products, by UbiMoE's eq. 2.")


@app.command()
def estimate(
    design: f.DesignName,
    model: f.Model,
    on: f.On,
    tokens: f.Tokens = "",
    clock: f.Clock = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The latency of one image between full overlap and none, term by term, beside the board's.

    Without --tokens: both counts that the sources of a published design name, or the image size of
    the model.

    moesaic fpga estimate edge-moe --model m3vit-tiny --on zcu102 --tokens 129,197
    """
    from ..simulator.fpga import estimate as ask

    asked = f.asked(design, model, on, tokens, clock)
    brackets = [
        ask(asked.design, asked.model, each, asked.board, asked.clock_hz) for each in asked.tokens
    ]
    published = asked.published(brackets[0].clock_hz)
    data = {
        "design": design,
        "model": asked.model.name,
        "on": asked.board.name,
        "estimates": [_plain(bracket) for bracket in brackets],
        "published": None if published is None else _measured(published),
    }
    if out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)
        return
    _print(asked.title, brackets, published)


def _plain(bracket: Bracket) -> dict[str, Any]:
    return {
        "tokens": bracket.tokens,
        "clock_hz": bracket.clock_hz,
        "full_overlap_s": bracket.full_overlap_s,
        "no_overlap_s": bracket.no_overlap_s,
        "evidence": bracket.evidence,
        "terms": [
            {
                "name": t.name,
                "seconds": t.cycles / bracket.clock_hz,
                "cycles": t.cycles,
                "hidden": t.hidden,
            }
            for t in bracket.terms
        ],
    }


def _measured(result: BoardResult) -> dict[str, Any]:
    import msgspec

    return {**msgspec.structs.asdict(result), "evidence": "measured-published"}


def _print(title: str, brackets: list[Bracket], published: BoardResult | None) -> None:
    """Terms in order of work, then the two ends of the bracket and the board between them."""
    keys = list(dict.fromkeys((t.name, t.hidden) for b in brackets for t in b.terms))
    cycles = [{(t.name, t.hidden): t.cycles for t in b.terms} for b in brackets]
    rows: list[list[str]] = []
    for name, hidden in keys:
        each = [
            c.get((name, hidden), 0.0) / b.clock_hz for c, b in zip(cycles, brackets, strict=True)
        ]
        rows.append([name, "yes" if hidden else "no", *map(_ms, each)])
    rows.append(["full overlap", "", *(_ms(b.full_overlap_s) for b in brackets)])
    rows.append(["no overlap", "", *(_ms(b.no_overlap_s) for b in brackets)])
    note = f"{brackets[0].evidence}: every loop starts one iteration a cycle, the head is left out."
    if published is not None:
        rows.append(["board (measured-published)", "", *[_ms(published.latency_s)] * len(brackets)])
        note += f" Board: {published.source}; its token count is unsettled."
    columns = ["ms at", "can hide", *(f"{b.tokens} tokens" for b in brackets)]
    show.table(title, columns, rows, note=note)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
