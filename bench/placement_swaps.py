"""Balancing experts: the C++ swaps against the same search in plain Python, and the bound."""

from __future__ import annotations

import time

import numpy as np

from moesaic.placement import Problem, solve
from moesaic.placement.solvers.simple import lpt_homes, swapped, swapped_reference
from moesaic.workload import RoutingCounts


def main() -> list[dict[str, object]]:
    loads = np.random.default_rng(0).lognormal(0, 1, (1, 58, 256))
    problem = Problem.of(RoutingCounts(loads=loads, layers=tuple(range(58))), 32)
    start = lpt_homes(problem)
    times = []
    for search in (swapped, swapped_reference):
        begin = time.perf_counter()
        search(problem, start)
        times.append(time.perf_counter() - begin)
    placement = solve(problem, "lpt-swaps")
    worst = float((placement.bound / placement.rank_max).min())
    return [
        {
            "name": "swaps, 58 layers x 256 experts on 32 ranks",
            "value": times[0],
            "unit": "s",
            "peer": "the same search in Python",
            "peer_value": times[1],
            "ratio": times[1] / times[0],
        },
        {
            "name": "worst layer's bound / busiest rank, same loads",
            "value": worst,
            "unit": "",
            "peer": "optimum at most",
            "peer_value": 1.0,
            "ratio": worst,
        },
    ]
