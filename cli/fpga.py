"""moesaic fpga: published accelerators for MoE vision models, by closed form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..base import BadInput
from ..base.units import parse
from . import question as q
from . import show

if TYPE_CHECKING:
    from ..hardware import Fpga
    from ..simulator.fpga import BoardResult, Bracket

app = typer.Typer(
    no_args_is_help=True,
    help="FPGA accelerators: designs as published, and what they take for an image.\n\n"
    "Example: moesaic fpga estimate edge-moe --model m3vit-tiny --on zcu102 --tokens 129,197",
)


@app.command("list")
def list_(json: show.Json = False) -> None:
    """List the designs with their parameters.

    Example: moesaic fpga list
    """
    from ..simulator.fpga import DESIGNS, Design

    names = (*(name for name in Design.__struct_fields__ if name != "design"), "dsp")
    rows = [{"design": name} | {f: getattr(d, f) for f in names} for name, d in DESIGNS.items()]
    if json:
        show.json(rows)
        return
    table = [[field, *(row[field] for row in rows)] for field in names]
    show.table("", ["parameter", *DESIGNS], table, note="dsp: of the products, by UbiMoE's eq. 2.")


@app.command()
def estimate(
    design: Annotated[str, typer.Argument(help="A design: `moesaic fpga list`.")],
    model: Annotated[str, typer.Option("--model", help="A vision model of the catalogue.")],
    on: Annotated[str, typer.Option("--on", help="An FPGA board of the catalogue, or a .toml.")],
    tokens: Annotated[str, typer.Option(help="Tokens of an image: one number or several.")] = "",
    clock: Annotated[
        str | None, typer.Option(help="Such as '250 MHz'; the board's by default.")
    ] = None,
    json: show.Json = False,
    out: show.Out = None,
) -> None:
    """The latency of one image between full overlap and none, term by term, beside the board's.

    Without --tokens: the image size of the model.

    moesaic fpga estimate edge-moe --model m3vit-tiny --on zcu102 --tokens 129,197
    """
    from ..simulator.fpga import design as design_of
    from ..simulator.fpga import estimate as ask
    from ..simulator.fpga import published as published_of

    chosen, found, board = design_of(design), q.model_of(model, None), _board(on)
    if not tokens and found.image_tokens is None:
        raise BadInput(f"must be given: {found.name} states no image size", key="--tokens")
    asked = q.numbers(tokens or str(found.image_tokens), "--tokens")
    clock_hz = None if clock is None else _hertz(clock)
    brackets = [ask(chosen, found, each, board, clock_hz) for each in asked]
    published = published_of(design, board.name, found.name, brackets[0].clock_hz)
    data = {
        "design": design,
        "model": found.name,
        "on": board.name,
        "estimates": [_plain(bracket) for bracket in brackets],
        "published": None if published is None else _measured(published),
    }
    if out is not None:
        show.save_json(out, data)
    if json:
        show.json(data)
        return
    _print(f"{design} runs {found.name} on {board.name}", brackets, published)


def _board(name: str) -> Fpga:
    from ..hardware import Fpga
    from ..hardware.load import device

    found = device(Path(name) if name.endswith(".toml") else name)
    if not isinstance(found, Fpga):
        raise BadInput("is no FPGA; `moesaic hardware list --kind fpga`", key=name)
    return found


def _hertz(text: str) -> float:
    try:
        return parse(text, "Hz")
    except BadInput as fault:
        raise BadInput(fault.what, key="--clock", value=text) from None


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
