"""The cross-check: a block's Verilog and its dataflow model on random configurations, inputs and
stalls. Every token must move in the same cycle at every source and sink."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..blocks import MODELS
from ..blocks.ends import SINK, SOURCE
from ..golden import BLOCKS
from ..result import Run
from ..run import simulate
from .drive import Job, Trace, drive
from .stalls import job


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a block's configurations. wrong_cycles: those where a token moved in another
    cycle, or only one of the two got stuck; wrong_outputs: those whose RTL gave other tokens than
    integer arithmetic. tokens: at sources and sinks, all compared. deadlocks: met by both."""

    block: str
    configurations: int
    tokens: int
    wrong_cycles: int
    wrong_outputs: int
    deadlocks: int
    rtl_cycles: int
    rtl_s: float
    model_cycles: int
    model_s: float


COUNTS = tuple(name for name in Row.__struct_fields__ if name != "block")
"""What adds up."""


BATCH = 64
"""Configurations whose inputs and tokens are in memory at a time."""


def cross_check(top: str, configurations: int, seed: int, built: Path) -> Row:
    """Draws so many configurations of a block and runs them in both; built: of `executable`."""
    rng = np.random.default_rng([seed, list(BLOCKS).index(top)])
    rows = []
    for first in range(0, configurations, BATCH):
        count = min(BATCH, configurations - first)
        rows.append(_checked(top, [job(BLOCKS[top].drawn(rng), rng) for _ in range(count)], built))
    counts = {name: sum(getattr(row, name) for row in rows) for name in COUNTS}
    return Row(block=top, **counts)


def _checked(top: str, jobs: Sequence[Job], built: Path) -> Row:
    start = time.perf_counter()
    traces = drive(built, jobs)
    rtl_s, model_s, runs = time.perf_counter() - start, 0.0, []
    for each in jobs:
        graph = MODELS[top](each.block, each.inputs, each.open)
        start = time.perf_counter()
        simulate(graph)
        model_s += time.perf_counter() - start
        runs.append(simulate(graph, spans=True))
    both = list(zip(traces, runs, strict=True))
    return Row(
        block=top,
        configurations=len(jobs),
        tokens=sum(len(cycles) for trace in traces for cycles in trace.moved.values()),
        wrong_cycles=sum(not same_cycles(trace, run) for trace, run in both),
        wrong_outputs=sum(
            not same_outputs(each, trace) for each, trace in zip(jobs, traces, strict=True)
        ),
        deadlocks=sum(trace.stuck and run.deadlock is not None for trace, run in both),
        rtl_cycles=sum(trace.cycles for trace in traces),
        rtl_s=rtl_s,
        model_cycles=sum(run.cycles for run in runs),
        model_s=model_s,
    )


def same_cycles(trace: Trace, run: Run) -> bool:
    """Whether every token moved in the same cycle, and both ended or both got stuck."""
    model = moved(run)
    return trace.stuck == (run.deadlock is not None) and all(
        np.array_equal(cycles, model[name]) for name, cycles in trace.moved.items()
    )


def same_outputs(each: Job, trace: Trace) -> bool:
    """Whether what came out is what integer arithmetic gives, as far as it got."""
    expected = each.block.outputs(each.inputs)
    return all(
        np.array_equal(found, expected[name][: len(found)])
        and (trace.stuck or len(found) == len(expected[name]))
        for name, found in trace.outputs.items()
    )


def moved(run: Run) -> defaultdict[str, NDArray[np.int64]]:
    """The cycle of each token, by source and sink: their processes have a span for each."""
    starts: defaultdict[str, list[int]] = defaultdict(list)
    for span in run.spans:
        name, _, kind = span.process.rpartition(" ")
        if kind in (SOURCE, SINK):
            starts[name].append(span.start)
    arrays = {name: np.array(cycles, dtype=np.int64) for name, cycles in starts.items()}
    return defaultdict(lambda: np.zeros(0, dtype=np.int64), arrays)
