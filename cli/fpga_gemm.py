"""moesaic fpga gemm: a matrix product on one systolic array, cycle by cycle."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer

from ..base import BadInput
from . import show

DATAFLOWS = ("os", "ws", "is")


def gemm(
    shape: Annotated[str, typer.Argument(help="M x N x K, such as 197x384x192.")],
    array: Annotated[str, typer.Option(help="Rows x columns of the array.")] = "16x16",
    dataflow: Annotated[
        str, typer.Option(help="What stays in the array: os, ws or is; several by commas.")
    ] = ",".join(DATAFLOWS),
    prefetch: Annotated[
        bool, typer.Option("--prefetch", help="The next tile of weights comes under this one (ws).")
    ] = False,
    bytes_per_cycle: Annotated[
        float | None, typer.Option(help="That a memory gives of weights, a byte each (ws).")
    ] = None,
    json: show.Json = False,
) -> None:
    """Cycles of a matrix product on a systolic array; SCALE-Sim's, where nothing is waited for.

    Example: moesaic fpga gemm 197x384x192 --array 16x16
    """
    from ..base.spec import build
    from ..simulator.fpga.accelerators.gemm import Gemm, simulate_gemm

    m, n, k = _sizes(shape, 3, "shape")
    rows, columns = _sizes(array, 2, "--array")
    found = {}
    for kind in dataflow.split(","):
        if kind not in DATAFLOWS:
            raise BadInput(f"must be of {', '.join(DATAFLOWS)}", key="--dataflow", value=kind)
        words = {"m": m, "n": n, "k": k, "rows": rows, "columns": columns, "dataflow": kind}
        words |= {"prefetch": prefetch, "bytes_per_cycle": bytes_per_cycle}
        asked = build(Gemm, {name: word for name, word in words.items() if word is not None})
        found[kind] = simulate_gemm(asked)
    if json:
        show.json({kind: {"evidence": "simulated", **msgspec.structs.asdict(run)}
                   for kind, run in found.items()})  # fmt: skip
        return
    show.table(
        f"{m} x {n} x {k} on {rows} x {columns}",
        ["dataflow", "cycles", "waiting for operands", "of the array's peak"],
        [[kind, f"{run.cycles:,}", f"{run.stalled:,}", f"{run.utilization:.1%}"]
         for kind, run in found.items()],
        note="simulated: from the array's first step to its last.",
    )  # fmt: skip


def _sizes(text: str, count: int, key: str) -> list[int]:
    """Numbers of at most seven digits with an x between them."""
    if not re.fullmatch("x".join(["[0-9]{1,7}"] * count), text):
        raise BadInput(f"must be {count} numbers with an x between them", key=key, value=text)
    return [int(part) for part in text.split("x")]
