"""moesaic fpga resources: what a design takes of a board, or what it lacks there."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from ..base import BadInput
from . import fpga_question as f
from . import show

Model = Annotated[str, typer.Option("--model", help="The vision model that sizes its buffers.")]


def resources(
    design: f.DesignName,
    on: f.On,
    model: Model = "m3vit-tiny",
    tokens: f.Tokens = "",
    clock: f.Clock = None,
    as_json: show.Json = False,
) -> None:
    """What a design takes of a board, resource by resource. One over budget is refused with every
    resource that is short, and by how much. Of several token counts the largest.

    Example: moesaic fpga resources ubimoe --on zcu102
    """
    from ..simulator.fpga.estimate import check_image
    from ..simulator.fpga.points import points_of
    from ..simulator.fpga.resources import MARKS, Shape, budgets, check

    asked = f.asked(design, model, on, tokens, clock)
    board, most = asked.board, max(asked.tokens)
    clock_hz = board.clock_hz if asked.clock_hz is None else asked.clock_hz
    if clock_hz is None or not 0 < clock_hz < math.inf:
        raise BadInput("needs a clock above zero", key="--clock", value=clock)
    check_image(asked.model, most)
    points = points_of(asked.design, clock_hz)
    found = budgets(check(points, Shape.of(asked.model, most), board), points, board)
    rows: list[dict[str, Any]] = [
        {"resource": name, "takes": float(need), "has": float(have), "mark": MARKS[name]}
        for name, (need, have) in found.items()
    ]
    if as_json:
        data = {"design": design, "model": asked.model.name, "on": board.name, "tokens": most}
        show.json(data | {"clock_hz": clock_hz, "resources": rows})
        return
    note = "mark: the weakest that the figure rests on; assumed constants were fitted to no board."
    if not asked.design.fused_attention:
        note += " As if it were of UbiMoE's class: scores stay on the chip, QK^T and AV stream at "
        note += "once."
    show.table(
        f"{asked.title}, {most} tokens, {clock_hz / 1e6:g} MHz",
        ["resource", "takes", "of", "share", "mark"],
        [[row["resource"], *_amounts(row["takes"], row["has"]), row["mark"]] for row in rows],
        note=note,
    )


def _amounts(takes: float, has: float) -> tuple[str, str, str]:
    share = f"{takes / has:.1%}" if 0 < has < math.inf else ""
    return f"{takes:,.10g}", f"{has:,.10g}", share
