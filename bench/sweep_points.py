"""Rows of a design space through `sweeps.design.evaluate`: a million machines that all differ.

Run: python bench/sweep_points.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

POINTS, BLOCK = 1_000_000, 32_768
TARGET_S, TARGET_BYTES, TARGET_GROUP_S = 20.0, 1e9, 5e-3


def _rows(count: int, seed: int) -> dict[str, Any]:
    """DeepSeek-V3 on 64 GPUs in four splits; six figures of the machine drawn for each row."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> Any:
        return rng.uniform(low, high, count)

    return {
        "model": np.full(count, "deepseek-v3", object),
        "on": np.full(count, "eight-node-h100", object),
        "tp": rng.choice([1, 2, 4, 8], count),
        "ep": np.full(count, 64),
        "batch": rng.integers(1, 4096, count),
        "context": np.full(count, 4096),
        "system.device.memory.bandwidth_bytes_per_s": between(1e12, 1e13),
        "system.device.memory.capacity_bytes": between(4e10, 4e11),
        "times:system.device.peak_flops_per_s": between(0.3, 3),
        "system.device.cache.capacity_bytes": between(1e7, 3e8),
        "system.tiers.node.link.bandwidth_bytes_per_s": between(1e11, 2e12),
        "system.tiers.cluster.link.bandwidth_bytes_per_s": between(1e10, 4e11),
        "system.tiers.node.link.energy_j_per_byte": np.full(count, 1e-11),
        "system.tiers.cluster.link.energy_j_per_byte": np.full(count, 3e-11),
    }


def _groups(count: int) -> dict[str, Any]:
    """Rows of which each has a model and a split of its own."""
    place = np.arange(count)
    return {
        "model": np.full(count, "deepseek-v3", object),
        "model.experts.inter": 64 * (1 + place // 8),
        "on": np.full(count, "eight-node-h100", object),
        "tp": 2 ** (place % 4),
        "ep": np.where(place // 4 % 2, 32, 64),
        "batch": np.full(count, 64),
    }


def measure() -> dict[str, float]:
    """Seconds of `POINTS` rows and of a group, in one process; the peak memory."""
    from moesaic.sweeps.design.evaluate import evaluate

    evaluate(_rows(1, 0))
    start = time.perf_counter()
    unknown = 0
    for first in range(0, POINTS, BLOCK):
        found = evaluate(_rows(min(BLOCK, POINTS - first), first))
        unknown += int(np.isnan(found["energy_j_per_token"]).sum())
    rows_s = time.perf_counter() - start
    peak = _peak_bytes()
    start = time.perf_counter()
    found = evaluate(_groups(400))
    group_s = (time.perf_counter() - start) / 400
    unknown += int(np.isnan(found["tpot_s"]).sum())
    if unknown:
        raise RuntimeError(f"{unknown} rows have no answer")
    return {"rows_s": rows_s, "group_s": group_s, "peak_bytes": peak}


def _peak_bytes() -> float:
    """Of this process. Linux keeps the parent's in ru_maxrss over a start, but not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value, ratio (above 1: better than the peer)."""
    run = subprocess.run(
        [sys.executable, __file__, "--measure"], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    rows = [
        ("a million rows, with joules", found["rows_s"], "s", TARGET_S),
        ("a million rows, peak", found["peak_bytes"], "B", TARGET_BYTES),
        ("a model and split of its own", found["group_s"], "s", TARGET_GROUP_S),
    ]
    return [
        {
            "name": name,
            "value": value,
            "unit": unit,
            "peer": "must stay below",
            "peer_value": limit,
            "ratio": limit / max(value, 1e-300),
        }
        for name, value, unit, limit in rows
    ]


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps(measure()))
    else:
        for line in main():
            print(json.dumps(line))
