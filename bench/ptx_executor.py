"""The PTX executor on one core: thread instructions per second beside the target, a grouped GEMM in
seconds, and the same multiply-adds beside numpy.

A thread instruction is one of one lane: an mma.sync counts 32, whatever it multiplies. CPU seconds,
the best of some runs; every launch is held against float64 before its time counts. numpy's float64
product of the same rows and matrices is what the CPU can do that knows nothing of tiles, roundings,
races and undefined data: the limit, not a peer.

Run: python bench/run.py --out /dev/stdout ptx_executor
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from moesaic.kernels import build, execute, kernel
from moesaic.kernels.compiled.check import excess
from moesaic.kernels.compiled.execute import Counters
from moesaic.kernels.compiled.explain import multiply_adds
from moesaic.kernels.library.combine import CombineShape
from moesaic.kernels.library.decode import DecodeShape
from moesaic.kernels.library.experts import draw, products
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape
from moesaic.kernels.library.route import RouteShape
from moesaic.kernels.library.slots import SlotsShape

ARCH, RUNS = "sm_80", 3
TARGET_PER_S = 200e6
TARGET_S = 0.3
LARGE = {
    "grouped-gemm/down-128x128": GroupedGemmShape(rows=(200, 0, 300, 12), depth=1024, columns=1024),
    "grouped-gemm/gate-up-64x64": GroupedGemmShape(rows=(200, 0, 300, 12), depth=512, columns=512),
    "decode/gate-up-4-gather": DecodeShape(rows=(1, 0, 2, 5, 0, 8), depth=2048, columns=1024),
    "route/sigmoid-256-top8": RouteShape(8192),
    "combine/top8-bf16-shared-128x1": CombineShape(2048, 2048),
    "permute/256-top8-4x1": SlotsShape(16384),
    "permute/256-top8-4x1-move": SlotsShape(2048, pieces=256),
}
"""Sizes at which a launch takes a few tenths of a second."""
SMALL = ("grouped-gemm/gate-up-64x64", "grouped-gemm/down-64x128", "grouped-gemm/gate-up-16x64")


def main() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, shape in LARGE.items():
        seconds, counters = _timed(name, shape)
        rate = counters.thread_instructions / seconds
        rows.append(_row(f"{name} executed", rate, "target", TARGET_PER_S))
        if counters.multiplies:
            rows.append(_beside_numpy(name, shape, multiply_adds(counters) / seconds))
    for name in SMALL:
        shape = kernel(name.partition("/")[0]).shapes["usual"]
        seconds, _ = _timed(name, shape)
        rows.append(_row(f"{name}, 64 x 256 x 256", seconds, "must be under", TARGET_S, "s"))
    return rows


def _timed(name: str, shape: Any) -> tuple[float, Counters]:
    """Seconds of a launch that is right, and what it executed."""
    word, _, config = name.partition("/")
    one = kernel(word)
    made, values = build(one, config, ARCH), one.config(config)
    problem, launch = one.problem(values, shape, 0), one.launch(values, shape)
    found = execute(made, launch, problem.arguments)
    assert not found.faults
    assert all(worst <= 1 for worst in excess(problem, found.outputs).values())
    return _best(lambda: execute(made, launch, problem.arguments)), found.counters


def _beside_numpy(name: str, shape: GroupedGemmShape, rate: float) -> dict[str, object]:
    """Multiply-adds of all mma.sync, padding with them, beside those of numpy, which has none."""
    config = kernel("grouped-gemm").config(name.partition("/")[2])
    operands = draw(shape, config, 0)
    inputs, weights = (np.nan_to_num(part) for part in operands.numbers())
    seconds = _best(lambda: products(inputs, weights, shape.row_starts()))
    limit = shape.multiply_adds(config) / seconds
    return _row(f"{name}, multiply-adds", rate, "numpy in float64, the limit", limit)


def _best(work: Callable[[], Any]) -> float:
    """CPU seconds, the least of some runs."""
    times = []
    for _ in range(RUNS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def _row(
    name: str, value: float, peer: str, peer_value: float, unit: str = "/s"
) -> dict[str, object]:
    better = peer_value / value if unit == "s" else value / peer_value
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": better,
    }
