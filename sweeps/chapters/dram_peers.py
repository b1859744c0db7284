"""The section that holds the memory core against two other simulators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..accuracy.dram import IDLE, LEAST_GAP, NAMES, Beside, Who
from ..report.section import Section, Table

WORDS = (
    "Every number is simulated. Those of Ramulator 2.1 and DRAMsim3 are recorded runs of theirs, "
    "told the same timing; none was measured on hardware.",
    "Signed errors are of the cycle of the last data: positive is slower. 'ours' is the memory "
    "core in Ramulator's policy, 'own' in its own, with the same queues and refresh.",
    f"Where the peers differ by more than {LEAST_GAP:.0%}, 'why' names the traits of DRAMsim3 that "
    "ours takes to come from Ramulator's cycles to those of DRAMsim3, and what they leave.",
)
COLUMNS = ("trace", "refresh", "queue", "ours, cycles", "ours - Ramulator", "ours - DRAMsim3",
           "own - DRAMsim3", "ours, of peak", "Ramulator", "DRAMsim3", "own", "why")  # fmt: skip
LATENCY = ("memory", "ours", "Ramulator 2.1", "DRAMsim3", "own policy")


def peers_section(rows: Sequence[Beside]) -> Section:
    """Tables of each memory, idle latencies, the plot, and every number for programs."""
    from ..plots.dram_peers import shares_of_peak

    configs = dict.fromkeys(row.config for row in rows)
    return Section(
        name="dram-peers",
        title="The memory core beside two other simulators",
        words=(*WORDS, summary(rows)),
        evidence=("simulated",),
        tables=(*(_table(config, rows) for config in configs), _latencies(rows)),
        figure=shares_of_peak(rows),
        data=[facts(row) for row in rows],
    )


def summary(rows: Sequence[Beside]) -> str:
    """How many runs equal Ramulator's and how far the others lie, in a sentence."""
    errors = np.abs([row.error("ours", "ramulator") or 0.0 for row in rows])
    gaps = np.abs([row.error("ramulator", "dramsim3") or 0.0 for row in rows if row.plain])
    return (
        f"{int((errors == 0).sum())} of {len(rows)} runs in Ramulator's policy end in Ramulator's "
        f"cycle; the largest error is {errors.max():.3%}. The peers differ by more than "
        f"{LEAST_GAP:.0%} on {int((gaps > LEAST_GAP).sum())} of {gaps.size} runs, by "
        f"{gaps.max(initial=0.0):.0%} at most."
    )


def facts(row: Beside) -> dict[str, Any]:
    """A run by all, for programs."""
    pairs: tuple[tuple[Who, Who], ...] = (
        ("ours", "ramulator"), ("ours", "dramsim3"), ("moesaic", "dramsim3"),
    )  # fmt: skip
    return {
        "config": row.config,
        "trace": row.trace,
        "refresh": row.refresh,
        "queue": row.queue,
        "runs": {who: {"name": NAMES[who], **_fields(run)} for who, run in row.runs.items()},
        "signed_errors": {f"{one} to {other}": row.error(one, other) for one, other in pairs},
        "why": row.why,
    }


def _fields(run: Any) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__struct_fields__}


def _table(config: str, rows: Sequence[Beside]) -> Table:
    cells = [
        (row.pattern, row.refresh, str(row.queue), f"{row.runs['ours'].cycles:.10g}",
         _signed(row, "ours", "ramulator"), _signed(row, "ours", "dramsim3"),
         _signed(row, "moesaic", "dramsim3"), _share(row, "ours"), _share(row, "ramulator"),
         _share(row, "dramsim3"), _share(row, "moesaic"), row.why)
        for row in rows
        if row.config == config
    ]  # fmt: skip
    return Table(columns=COLUMNS, rows=tuple(cells), note=config)


def _signed(row: Beside, one: Who, other: Who) -> str:
    error = row.error(one, other)
    if error is None:
        return "-"
    return f"{error:+.2%}" if error else "0"


def _share(row: Beside, who: Who) -> str:
    return f"{row.runs[who].share_of_peak:.4f}" if who in row.runs else "-"


def _latencies(rows: Sequence[Beside]) -> Table:
    idle = [row for row in rows if row.pattern == IDLE and row.plain]
    return Table(
        columns=LATENCY,
        rows=tuple(
            (row.config, *(f"{row.runs[who].read_latency_cycles:.2f}" for who in NAMES))
            for row in idle
        ),
        note="clock cycles of a read from the queue on, one request every 400 cycles",
    )
