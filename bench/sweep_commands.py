"""The commands of design spaces, whole: a million points into files with the exact front, ten
thousand steps by tiles, the report of a hundred thousand points.

Run: python bench/sweep_commands.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MILLION = """
title = "A million machines for Mixtral"
by = ["batch"]
[fixed]
model = "mixtral-8x7b"
context = 4096
on = "dgx-h100"
[axes]
batch = [1, 4, 16, 64, 256]
system.device.memory.bandwidth_bytes_per_s = { from = 1e12, to = 16e12, points = 20, scale = "log" }
"times:system.device.peak_flops_per_s" = { from = 0.25, to = 4.0, points = 10, scale = "log" }
system.tiers.node.link.bandwidth_bytes_per_s = { from = 5e10, to = 2e12, points = 10 }
system.tiers.node.link.latency_s = [5e-7, 1e-6, 2e-6, 5e-6, 1e-5]
system.device.cache.capacity_bytes = { from = 25e6, to = 200e6, points = 5 }
tp = [1, 2, 4, 8]
[derived]
dp = "8 // tp"
ep = "8"
[objectives]
minimise = ["tpot_s", "energy_j_per_token", "system.device.memory.bandwidth_bytes_per_s"]
"""
TILES = """
title = "Ten thousand steps by tiles"
[fixed]
context = 4096
[axes]
setup = [
  { name = "mixtral", model = "mixtral-8x7b", on = "dgx-h100", tp = 8, dp = 1, ep = 1 },
  { name = "deepseek", model = "deepseek-v3", on = "two-node-h100", tp = 1, dp = 16, ep = 16 },
  { name = "qwen", model = "qwen3-30b-a3b", on = "h100-4", tp = 4, dp = 1, ep = 4 },
]
batch = { from = 1, to = 3334, step = 1 }
[objectives]
minimise = ["tpot_s"]
maximise = ["throughput_tokens_per_s"]
"""
CHUNK = 128
TARGET_S, TARGET_BYTES, TARGET_PAGE = 60.0, 1e9, 3e6


def million(folder: Path) -> list[tuple[str, float, str, float]]:
    """`sweep run --jobs 2`, then `sweep front`, each a process of its own."""
    space = folder / "million.toml"
    space.write_text(MILLION)
    run_s = _timed("sweep", "run", str(space), "--jobs", "2", "--out", str(folder / "m"))
    front_s = _timed("sweep", "front", str(folder / "m"))
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024.0
    return [
        ("10^6 roofline points into files, and their exact front", run_s + front_s, "s", TARGET_S),
        ("its largest process", largest, "B", TARGET_BYTES),
    ]


def report(folder: Path) -> list[tuple[str, float, str, float]]:
    """Of the same machines in a tenth of the points."""
    space = folder / "tenth.toml"
    space.write_text(
        MILLION.replace("points = 10,", "points = 5,", 1).replace("points = 20", "points = 4")
    )
    _timed("sweep", "run", str(space), "--jobs", "2", "--out", str(folder / "t"))
    _timed("report", str(folder / "t"))
    size = (folder / "t" / "report" / "index.html").stat().st_size
    return [("the report of 10^5 points", float(size), "B", TARGET_PAGE)]


def tiles(folder: Path) -> list[tuple[str, float, str, float]]:
    """10,002 rows at detail tile, in two processes as a run has them."""
    from moesaic.sweeps.design.engine import Task, Where, computing
    from moesaic.sweeps.design.evaluate import evaluate
    from moesaic.sweeps.design.run import Rows
    from moesaic.sweeps.design.space import load

    path = folder / "tiles.toml"
    path.write_text(TILES)
    space = load(path)
    tasks = [
        Task("finer", str(first), "tile", range(first, min(first + CHUNK, space.size)))
        for first in range(0, space.size, CHUNK)
    ]
    done: list[int] = []
    start = time.perf_counter()
    with computing(Where(jobs=2)) as compute:
        compute(tasks, Rows(space, evaluate), lambda task, rows: done.append(rows["point"].size))
    seconds = time.perf_counter() - start
    if sum(done) != space.size:
        raise RuntimeError(f"{sum(done)} of {space.size} rows came back")
    return [("10^4 steps by tiles, processes begun", seconds, "s", TARGET_S)]


def _timed(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "moesaic", *words], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value, ratio (above 1: better than the peer)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [*million(folder), *tiles(folder), *report(folder)]
    return [
        {
            "name": name,
            "value": value,
            "unit": unit,
            "peer": "must stay below",
            "peer_value": limit,
            "ratio": limit / value,
        }
        for name, value, unit, limit in rows
    ]


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
