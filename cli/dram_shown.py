"""Memories, runs and recorded commands as tables and files, for `moesaic dram`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..base.units import show as human
from . import show

if TYPE_CHECKING:
    from ..hardware.dram import DramConfig, DramTiming, Standard
    from ..simulator.memory import AddressMap, DramRun
    from ..simulator.memory.check import Report
    from ..simulator.memory.efficiency_table import Row

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
NOTES = {
    "memories": "ranks, or pseudo channels, and banks: of a channel; copies: of the memory in the "
    "device of that name"
}
UNITS = {"capacity_bytes": "B", "peak_bytes_per_s": "B/s", "clock_hz": "Hz"}
"""Columns of `list` that are shown for people, without the unit in their heading."""
RECORDED: dict[str, str] = dict.fromkeys(("tick", "channel", "command", "bank", "row"), "int")
"""Columns of recorded commands; `command` counts in the order of `hardware.dram.COMMANDS`."""


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """What `dram list` shows: memories, timing sets, standards."""
    from ..hardware.load import CATALOGUE, dram_config, dram_names, dram_standard, dram_timing

    sets, standards = (
        sorted(path.stem for path in (CATALOGUE / "dram" / kind).glob("*.toml"))
        for kind in ("timing", "standard")
    )
    return {
        "memories": [_memory(dram_config(name)) for name in dram_names()],
        "timing_sets": [_timing(dram_timing(name)) for name in sets],
        "standards": [_standard(dram_standard(name)) for name in standards],
    }


def _memory(config: DramConfig) -> dict[str, Any]:
    return {
        "memory": config.name,
        "timing": config.timing.name,
        "channels": config.channels,
        "ranks": config.rank_count,
        "banks": config.banks,
        "capacity_bytes": config.capacity_bytes,
        "peak_bytes_per_s": config.peak_bandwidth_bytes_per_s,
        "copies": config.copies,
        "map": config.address_map,
    }


def _timing(timing: DramTiming) -> dict[str, Any]:
    first = ("tCL", "tRCDRD", "tRP", "tRAS", "tRC", "tFAW", "tRFC", "tREFI")
    return {
        "timing set": timing.name,
        "standard": timing.standard.name,
        "clock_hz": timing.clock_hz,
        **{name: timing[name] for name in first},
        "derived from": timing.derived_from or "-",
        "source": timing.sources.get("cycles", "-"),
    }


def _standard(standard: Standard) -> dict[str, Any]:
    return {
        "standard": standard.name,
        "rank level": standard.rank_level.replace("_", " "),
        "command buses": "one" if standard.shared_bus else "row, column",
        "ticks a cycle": standard.ticks_per_cycle,
        "rules": len(standard.rules),
        "refreshed together": (standard.refresh_together or "all banks").replace("_", " "),
        "source": standard.sources.get("rules", "-"),
    }


def cells(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of equal rows."""
    heads = [name.partition("_")[0] if name in UNITS else name for name in rows[0]]
    return heads, [
        [human(v, UNITS[k]) if k in UNITS else str(v) for k, v in row.items()] for row in rows
    ]


def placed(address_map: AddressMap, address: int) -> dict[str, Any]:
    """An address and where it lies."""
    fields = address_map.fields(address)
    return {
        "address": hex(address),
        **{k: v for k, v in fields.items() if address_map.sizes.bits[k]},
    }


def facts_of(run: DramRun) -> dict[str, Any]:
    """What `dram run` tells."""
    latencies = {since: run.read_latency_cycles(since) for since in ("accepted", "arrival")}
    clock_hz, joules = run.config.timing.clock_hz, run.energy_j
    return {
        "requests": len(run.requests),
        "cycles": run.cycles,
        "seconds": run.seconds,
        "bandwidth_bytes_per_s": run.bandwidth_bytes_per_s,
        "peak_bytes_per_s": run.config.peak_bandwidth_bytes_per_s,
        "share_of_peak": run.share_of_peak,
        "row_hit_rate": run.row_hit_rate,
        "commands": run.counts,
        "read_latency_cycles": {name: _percentiles(each) for name, each in latencies.items()},
        "read_latency_s": {name: _percentiles(each / clock_hz) for name, each in latencies.items()},
        "energy_j": joules,
        "energy_j_per_bit": joules / (8 * run.bytes) if joules is not None and run.bytes else None,
        "evidence": "simulated",
    }


def _percentiles(cycles: NDArray[np.float64]) -> dict[str, float]:
    if not cycles.size:
        return {}
    found = np.percentile(cycles, list(PERCENTILES.values()))
    return dict(zip(PERCENTILES, found.tolist(), strict=True))


def print_facts(facts: dict[str, Any]) -> None:
    """The tables of a run: sums, and latencies of reads."""
    share, peak = facts["share_of_peak"], human(facts["peak_bytes_per_s"], "B/s")
    rows = [
        ("requests", str(facts["requests"])),
        ("last data", f"{facts['cycles']:.10g} cycles, {human(facts['seconds'], 's')}"),
        ("bandwidth", f"{human(facts['bandwidth_bytes_per_s'], 'B/s')}, {share:.2%} of {peak}"),
        ("row hits", f"{facts['row_hit_rate']:.2%} of reads and writes"),
        ("energy", _joules(facts)),
        ("commands", ", ".join(f"{name} {n}" for name, n in facts["commands"].items() if n)),
    ]
    title = f"{facts['trace']} on {facts['config']}, policy {facts['policy']}"
    show.table(title, ("", "simulated"), rows)
    cycles, seconds = facts["read_latency_cycles"], facts["read_latency_s"]
    latencies = [
        (
            name,
            *(
                f"{n[name]:.10g} ({human(seconds[since][name], 's')})"
                for since, n in cycles.items()
            ),
        )
        for name in cycles["accepted"]
    ]
    if latencies:
        heads = ("reads", "cycles from their queue to the last data", "from their arrival")
        show.table("", heads, latencies, note="simulated")


def _joules(facts: dict[str, Any]) -> str:
    if facts["energy_j"] is None:
        return "unknown: the timing set has no energies"
    return f"{human(facts['energy_j'], 'J')}, {facts['energy_j_per_bit'] * 1e12:.3g} pJ/bit"


def save_commands(path: Path, run: DramRun) -> None:
    """Recorded commands as Parquet, with the memory and the refresh that they ran under."""
    from ..base import parquet

    about = {
        "config": run.config.name,
        "refresh": run.controller.refresh,
        "units": f"tick: 1/{run.config.timing.standard.ticks_per_cycle} clock cycle",
    }
    commands = run.commands
    assert commands is not None
    parquet.write(path, {name: getattr(commands, name) for name in RECORDED}, about)
    show.say(f"wrote {path}: {commands.tick.size} commands")


def load_commands(path: Path, config: DramConfig) -> tuple[list[NDArray[Any]], str]:
    """Columns of recorded commands and the refresh named in the file ('all-bank' where none is)."""
    from ..base import parquet

    columns = parquet.read(path, RECORDED)
    about = parquet.metadata(path)
    if about.get("config", config.name) != config.name:
        raise BadInput(f"was recorded on {about['config']}", file=path, key="--config")
    return [columns[name] for name in RECORDED], about.get("refresh", "all-bank")


def print_report(report: Report) -> None:
    """The checker's rules, and the first violation of each."""
    rows = [
        (r.name, r.scope, r.times, r.violations, "-" if r.slack_ticks is None else r.slack_ticks)
        for r in report.rules
    ]
    heads = ("rule", "within", "put to the test", "violations", "least slack (ticks)")
    show.table(f"{report.config}: {report.commands} commands", heads, rows)
    for rule in report.rules:
        if rule.first:
            show.say(f"{rule.name}: {rule.first}")


def print_efficiency(config: DramConfig, rows: Sequence[Row]) -> None:
    """A table for each stream and layout: maps down, queues across; the best map named."""
    from ..simulator.memory import best_map

    for stream, layout in dict.fromkeys((row.stream, row.layout) for row in rows):
        part = [row for row in rows if (row.stream, row.layout) == (stream, layout)]
        asked = dict.fromkeys((row.queue, row.readers, row.tile_bytes) for row in part)
        cells_of = {(row.map, (row.queue, row.readers, row.tile_bytes)): row for row in part}
        table = [
            [name, *(f"{cells_of[name, each].share_of_peak:.1%}" for each in asked)]
            for name in dict.fromkeys(row.map for row in part)
        ]
        heads = ["map", *(f"queue {q}, {r} readers of {t} B" for q, r, t in asked)]
        size = human(part[0].expert_bytes, "B")
        show.table(f"{stream}, an expert of {size}, layout {layout}", heads, table)
    best = best_map(rows)
    worst = min(row.share_of_peak for row in rows if row.map == best)
    show.say(f"best map on {config.name}: {best}, never below {worst:.1%} of peak here; simulated")
