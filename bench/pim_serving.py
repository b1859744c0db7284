"""Duplex's serving study of GLaM against its limit, and its stages against steps priced one by one.

Run: python bench/pim_serving.py
"""

from __future__ import annotations

import json
import time
from typing import Any

TARGET_S = 60.0
PLAIN = 12


def main() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value, ratio (above 1: better than the peer)."""
    spent = study_s()
    fast, plain = stage_rates()
    return [
        {"name": "GLaM served by 6 machines, 9 points", "value": spent, "unit": "s",
         "peer": "must stay below", "peer_value": TARGET_S, "ratio": TARGET_S / spent},
        {"name": "serving stages at detail cycle", "value": fast, "unit": "stages/s",
         "peer": "steps one by one", "peer_value": plain, "ratio": fast / plain},
    ]  # fmt: skip


def study_s() -> float:
    """Every length, batch and machine of GLaM in the paper's study, on two processes."""
    from moesaic.sweeps.papers.duplex_study import MACHINES, Run, points, studies

    begin = time.perf_counter()
    studies(points(("GLaM",)), [Run(name) for name in MACHINES], jobs=2)
    return time.perf_counter() - begin


def stage_rates() -> tuple[float, float]:
    """Stages a second of a run of GLaM on Duplex, and steps a second by `cycle` itself."""
    from moesaic.roofline import operators
    from moesaic.simulator.serving import serve
    from moesaic.simulator.step.cycle import cycle
    from moesaic.sweeps.papers.duplex_study import (
        CASES,
        MACHINES,
        TEXT,
        costs_of,
        machine_of,
        rates_of,
    )
    from moesaic.workload import make_step
    from moesaic.workload.load import model
    from moesaic.workload.requests import drawn

    case = CASES["GLaM"]
    asked, made = model(case.model), machine_of(case, MACHINES["+PE"])
    requests = drawn(192, prompt_mean=1024, output_mean=1024, spread=0.1, rate_per_s=1.0, seed=0)
    begin = time.perf_counter()
    costs = costs_of(case, "+PE", TEXT, {}, 0)
    served = serve(requests, costs, most_requests=64, closed=True, stationary=True)
    fast = served.stage_s.size / (time.perf_counter() - begin)
    rates, begin = rates_of(made, TEXT), time.perf_counter()
    for i in range(PLAIN):
        step = make_step(asked, batch=64, context=1024 + i)
        cycle(operators(asked, step, made, case.ep), made, rates, units=TEXT.units)
    return fast, PLAIN / (time.perf_counter() - begin)


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
