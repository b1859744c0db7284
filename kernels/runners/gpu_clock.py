"""How a time is taken on a GPU: launches recorded in a graph, and the median of its replays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ...measured.clock import Timing, summary

LEAST_REPLAYS = 3
MOST_REPLAYS = 25
GRAPH_S = 0.5e-3
"""A graph lasts at least this long, so that its start does not count."""
MOST_LAUNCHES = 64


def time_on_gpu(cupy: Any, turns: Sequence[Callable[[], None]], budget_s: float) -> Timing:
    """Seconds of one turn: its launches as an engine replays them, one after the other.

    turns: the same work on buffers of their own, used in turn, so that none finds its weights in
    the last cache. Replayed until `budget_s` is spent, but LEAST_REPLAYS times. Leaves room of
    about a microsecond between two kernels of a graph in the time.
    """
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        for turn in turns:
            turn()
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        turns[0]()
        stop.record()
        stop.synchronize()
        once_s = cupy.cuda.get_elapsed_time(start, stop) / 1000
        rounds = max(1, round(min(GRAPH_S / max(once_s, 1e-7), MOST_LAUNCHES) / len(turns)))
        stream.begin_capture()
        for _ in range(rounds):
            for turn in turns:
                turn()
        graph = stream.end_capture()
        graph.launch()
        stream.synchronize()
        taken: list[int] = []
        end = time.perf_counter() + budget_s
        while len(taken) < MOST_REPLAYS and (
            len(taken) < LEAST_REPLAYS or time.perf_counter() < end
        ):
            start.record()
            graph.launch()
            stop.record()
            stop.synchronize()
            milliseconds = cupy.cuda.get_elapsed_time(start, stop)
            taken.append(int(milliseconds * 1e6 / (rounds * len(turns))))
    return summary(taken)
