"""Steps per second of `roofline.points` against one `operators` + `bound` after another, and of a
million machines that all differ.

Run: python bench/roofline_points.py
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

POINTS = 1_000_000
BLOCK = 65_536
PLAIN = 60
TARGET_STEPS_PER_S, TARGET_S, TARGET_BYTES = 200_000.0, 60.0, 1e9
TARGET_MACHINES_S, TARGET_SHAPE_S = 20.0, 1e-3


def _setups() -> list[Any]:
    """Two models on one and on eight nodes, split in seven ways."""
    from moesaic.hardware import load as hardware
    from moesaic.roofline.setups import Setup
    from moesaic.workload import Parallel, load

    wide = [Parallel(tp=tp, dp=64 // tp, ep=64) for tp in (1, 2, 8)]
    node = [Parallel(tp=tp, dp=8 // tp, ep=ep) for tp, ep in ((1, 8), (2, 4), (8, 1), (8, 8))]
    large, small = load.model("deepseek-v3"), load.model("mixtral-8x7b")
    cluster, one = hardware.system("eight-node-h100"), hardware.system("dgx-h100")
    return [Setup(model=large, system=cluster, parallel=split) for split in wide] + [
        Setup(model=small, system=one, parallel=split) for split in node
    ]


def _asked(setups: int, count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "index": rng.integers(0, setups, count),
        "batch": rng.integers(1, 512, count),
        "context": rng.integers(0, 8192, count),
        "prefill": rng.choice([0, 0, 1000], count),
    }


def _machines(system: Any, count: int, seed: int) -> Any:
    """Machines that differ in six figures, and have all constants of energy."""
    from moesaic.roofline.machines import Machines

    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> Any:
        return rng.uniform(low, high, count)

    columns: dict[str, Any] = {
        "device.memory.bandwidth_bytes_per_s": between(1e12, 1e13),
        "device.memory.capacity_bytes": between(4e10, 4e11),
        "device.peak_flops_per_s.fp8": between(1e15, 5e15),
        "device.cache.capacity_bytes": between(1e7, 3e8),
        "tiers.node.link.bandwidth_bytes_per_s": between(1e11, 2e12),
        "tiers.cluster.link.latency_s": between(1e-6, 2e-5),
        "tiers.node.link.energy_j_per_byte": 1e-11,
        "tiers.cluster.link.energy_j_per_byte": 3e-11,
    }
    return Machines.of(system, columns)


def measure_machines() -> dict[str, float]:
    """Seconds of `POINTS` different machines, without and with joules, and of a shape."""
    from moesaic.roofline.points import points
    from moesaic.roofline.setups import flatten

    setups = _setups()[:3]  # of one system
    flatten(setups)
    start = time.perf_counter()
    flatten(setups)
    found = {"shape_s": (time.perf_counter() - start) / len(setups)}
    for name, energy in (("machines_s", False), ("machines_energy_s", True)):
        start = time.perf_counter()
        for first in range(0, POINTS, BLOCK):
            count = min(BLOCK, POINTS - first)
            asked = _asked(len(setups), count)
            machines = _machines(setups[0].system, count, first)
            points(setups, asked.pop("index"), machines=machines, energy=energy, **asked)
        found[name] = time.perf_counter() - start
    return found


def measure() -> dict[str, float]:
    """Seconds of the first call, of `POINTS` points and of a plain one; the peak memory."""
    from moesaic.roofline import bound, operators
    from moesaic.roofline.points import points
    from moesaic.workload import make_step

    setups, asked = _setups(), _asked(len(_setups()), POINTS)
    index = asked.pop("index")
    start = time.perf_counter()
    points(setups, index[:1], batch=1)
    first = time.perf_counter() - start
    start = time.perf_counter()
    got = points(setups, index, **asked)
    spent = time.perf_counter() - start
    peak = _peak_bytes()
    different = measure_machines()
    start = time.perf_counter()
    worst = 0.0
    for i in range(PLAIN):
        setup = setups[index[i]]
        load: dict[str, Any] = {key: int(column[i]) for key, column in asked.items()}
        step = make_step(setup.model, **load)
        table = operators(setup.model, step, setup.system, setup.parallel)
        seconds = bound(table, setup.system).seconds
        worst = max(worst, abs(got.seconds[i] / seconds - 1))
    plain = (time.perf_counter() - start) / PLAIN
    return {
        "first_s": first,
        "points_s": spent,
        "plain_s": plain,
        "peak_bytes": float(peak),
        "difference": worst,
        **different,
    }


def _peak_bytes() -> int:
    """Of this process. Linux keeps the parent's in ru_maxrss over a start, but not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value, ratio (above 1: better than the peer)."""
    run = subprocess.run(
        [sys.executable, __file__, "--measure"], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(run.stdout)
    rate = POINTS / found["points_s"]

    def row(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
        better = value / peer_value if unit == "steps/s" else peer_value / max(value, 1e-300)
        return {
            "name": name,
            "value": value,
            "unit": unit,
            "peer": peer,
            "peer_value": peer_value,
            "ratio": better,
        }

    return [
        row("roofline points", rate, "steps/s", "must reach", TARGET_STEPS_PER_S),
        row("roofline points", rate, "steps/s", "the plain path", 1 / found["plain_s"]),
        row("a million points", found["points_s"], "s", "must stay below", TARGET_S),
        row("a million machines", found["machines_s"], "s", "must stay below", TARGET_MACHINES_S),
        row(
            "a million machines, with joules",
            found["machines_energy_s"],
            "s",
            "must stay below",
            TARGET_MACHINES_S,
        ),
        row("a shape, flattened", found["shape_s"], "s", "must stay below", TARGET_SHAPE_S),
        row("a million points, peak", found["peak_bytes"], "B", "must stay below", TARGET_BYTES),
        row("points, first call", found["first_s"], "s", "must stay below", TARGET_S),
        row(
            "points, from the plain path", found["difference"], "relative", "must stay below", 1e-9
        ),
    ]


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps(measure()))
    else:
        for line in main():
            print(json.dumps(line))
