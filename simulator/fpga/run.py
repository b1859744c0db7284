"""A graph run by the compiled engine: ends, stalls by reason, FIFO peaks, spans, deadlock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

import msgspec
import numpy as np

from ...base import BadInput
from .flat import MOST_CYCLES, Flat, flatten
from .graph import Graph
from .result import FifoRun, MemoryRun, ProcessRun, Run, Span
from .stalls import Deadlock, Reason, Stuck, deadlock

Depths = Mapping[str, int | None]


def simulate(graph: Graph, *, depths: Depths | None = None, spans: bool = False) -> Run:
    """Runs a graph to its end or to a deadlock. spans: also keeps what the marks say."""
    graph = graph.with_depths(depths) if depths else graph
    flat = flatten(graph, marks=spans)
    said = say(flat, {})
    return Run(
        cycles=said.cycles,
        processes=_processes(flat, said),
        fifos={
            fifo.name: FifoRun(tokens, peak)
            for fifo, (tokens, peak, _) in zip(graph.fifos, said.fifos, strict=True)
        },
        memories={
            memory.name: MemoryRun(bursts, busy)
            for memory, (bursts, busy) in zip(graph.memories, said.memories, strict=True)
        },
        spans=tuple(_spans(flat, said)),
        deadlock=stand_still(flat, said, {}),
    )


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's answer in rows of numbers (csrc/dataflow/graph.hpp, Result)."""

    cycles: int
    late: bool
    path: list[int]
    stalls: list[list[int]]
    processes: list[list[int]]
    fifos: list[list[int]]
    memories: list[list[int]]
    stuck: list[list[int]]
    marks: list[list[int]]


def say(
    flat: Flat, depths: Depths, *, most_cycles: int = MOST_CYCLES, traced: bool = False
) -> Said:
    """Asks the engine. It stops, `late`, when it sees that more than `most_cycles` pass. traced:
    also the `path`, FIFOs whose want of room lies on a longest path to the last event."""
    try:
        said = flat.engine.run(flat.depths(depths), most_cycles=most_cycles, traced=traced)
    except ValueError as error:
        raise BadInput(f"the graph cannot be run: {error}") from error
    return Said(**{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in said.items()})


def stand_still(flat: Flat, said: Said, depths: Depths) -> Deadlock | None:
    """The cycle of waits in which a run ended, if it did."""
    graph = flat.graph
    stuck = {
        process.name: Stuck(*flat.needs[row[5]])
        for process, row in zip(graph.processes, said.processes, strict=True)
        if row[5] >= 0
    }
    for memory, port, fifo, room, tokens in said.stuck:
        at = graph.memories[memory]
        name = f"{at.name}.{at.ports[port].name}"
        stuck[name] = Stuck(graph.fifos[fifo].name, bool(room), tokens)
    held = {fifo.name: row[2] for fifo, row in zip(graph.fifos, said.fifos, strict=True)}
    depth = {fifo.name: depths.get(fifo.name, fifo.depth) for fifo in graph.fifos}
    return deadlock(said.cycles, flat.ends, depth, held, stuck)


def _processes(flat: Flat, said: Said) -> dict[str, ProcessRun]:
    stalls: list[Counter[Reason]] = [Counter() for _ in said.processes]
    for owner, why, (cycles,) in zip(flat.owner, flat.reasons, said.stalls, strict=True):
        stalls[owner][why] += cycles
    runs = {}
    for process, row, waits in zip(flat.graph.processes, said.processes, stalls, strict=True):
        steps, first, last, busy, closed, _ = row
        waits[Reason("closed")] += closed
        runs[process.name] = ProcessRun(
            steps=steps,
            first=first,
            last=last,
            busy=busy,
            stalls={why: cycles for why, cycles in waits.items() if cycles},
        )
    return runs


def _spans(flat: Flat, said: Said) -> Iterator[Span]:
    """From mark to mark; the last one ends when the process has nothing more to do."""
    waited: Counter[int] = Counter()
    for owner, (cycles,) in zip(flat.owner, said.stalls, strict=True):
        waited[owner] += cycles
    for number, group in groupby(sorted(said.marks, key=lambda mark: mark[0]), lambda m: m[0]):
        marks = list(group)
        _, first, _, busy, closed, _ = said.processes[number]
        ends = [*(cycle for _, _, cycle in marks[1:]), first + busy + closed + waited[number]]
        for (_, label, start), end in zip(marks, ends, strict=True):
            yield Span(flat.graph.processes[number].name, flat.labels[label], start, end)
