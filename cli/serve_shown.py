"""How serving runs are shown: rows, tables, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.units import show as human
from . import show

if TYPE_CHECKING:
    from ..simulator.serving import Served
    from .serve import Run


def plain(run: Run) -> dict[str, Any]:
    """A run's numbers for programs and for tables."""
    from ..simulator.serving import metrics

    found = metrics(run.served)
    return {
        "batch": run.batch,
        "cache_tokens": run.room,
        "tokens_per_s": found.tokens_per_s,
        "requests_per_s": found.requests_per_s,
        "ttft_s": found.ttft_s,
        "tbt_s": found.tbt_s,
        "e2e_s": found.e2e_s,
        "queueing_s": found.queueing_s,
        "batch_mean": found.batch,
        "mixed_share": found.mixed_share,
        "energy_j_per_token": found.energy_j_per_token,
        "stages": run.served.stage_s.size,
        "evidence": run.evidence,
    }


def print_runs(title: str, rows: list[dict[str, Any]]) -> None:
    first = [
        [
            row["batch"],
            human(row["tokens_per_s"], "token/s"),
            f"{row['requests_per_s']:.2f}",
            f"{row['batch_mean']:.1f}",
            f"{row['mixed_share']:.0%}",
            "-" if row["energy_j_per_token"] is None else human(row["energy_j_per_token"], "J"),
            row["stages"],
            row["evidence"],
        ]
        for row in rows
    ]
    columns = ["batch", "throughput", "requests/s", "in flight", "time in mixed stages"]
    show.table(title, [*columns, "energy a token", "stages", "evidence"], first)
    names = {"ttft_s": "T2FT", "tbt_s": "TBT", "e2e_s": "E2E", "queueing_s": "queueing"}
    spreads = [
        [row["batch"], name, *(human(getattr(row[key], p), "s") for p in _POINTS)]
        for row in rows
        for key, name in names.items()
        if row[key] is not None
    ]
    show.table("", ["batch", "time", *_POINTS], spreads)


_POINTS = ("mean", "p50", "p90", "p99")


def draw(path: Path, served: Served, title: str) -> None:
    from ..sweeps.plots.serving import run_in_time
    from ..sweeps.plots.style import save

    save(run_in_time(served, title), path)
    show.say(f"wrote {path}")
