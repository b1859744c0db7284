"""How a time is taken: warm up, repeat, report the median and the spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from ..base import BadInput


class Timing(NamedTuple):
    """median_s of the repeats; spread: interquartile range over the median; repeats done."""

    median_s: float
    spread: float
    repeats: int


def time_s(
    call: Callable[[], object],
    *,
    warmup: int = 1,
    repeats: int = 11,
    least: int = 3,
    budget_s: float = 1.0,
) -> Timing:
    """Times `call` up to `repeats` times, after `warmup` calls that do not count.

    Stops early when `budget_s` is spent (warm-up included), but not before `least` repeats.
    """
    if warmup < 0 or not 1 <= least <= repeats:
        raise BadInput("needs `warmup` of at least 0 and 1 <= `least` <= `repeats`")
    end = time.perf_counter_ns() + int(budget_s * 1e9)
    for _ in range(warmup):
        call()
    taken: list[int] = []
    while len(taken) < repeats and (len(taken) < least or time.perf_counter_ns() < end):
        start = time.perf_counter_ns()
        call()
        taken.append(time.perf_counter_ns() - start)
    return summary(taken)


def summary(taken_ns: list[int]) -> Timing:
    """Median and interquartile spread of the nanoseconds taken."""
    median = statistics.median(taken_ns)
    if len(taken_ns) < 2:
        return Timing(median / 1e9, 0.0, len(taken_ns))
    low, _, high = statistics.quantiles(taken_ns, n=4, method="inclusive")
    return Timing(median / 1e9, (high - low) / median if median else 0.0, len(taken_ns))
