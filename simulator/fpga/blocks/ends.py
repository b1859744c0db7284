"""Sources and sinks around a block: one token a cycle, whenever they are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..graph import Fifo, Graph, Loop, Mark, Memory, Moved, Process, Step, moved

Open = Mapping[str, NDArray[np.bool_]]
"""When the source or sink of a FIFO is open, `[period]`; always where it is not named."""

SOURCE, SINK = "source", "sink"
"""What the processes at the ends of a block are called, after their FIFO."""


def with_ends(
    fifos: tuple[Fifo, ...],
    processes: tuple[Process, ...],
    sources: Iterable[str],
    sinks: Iterable[str],
    open_: Open,
    memories: tuple[Memory, ...] = (),
) -> Graph:
    """A graph whose sources offer what is read in it and whose sinks take what is written."""
    reads, writes = totals(processes, memories)
    ends = (
        *(_end(SOURCE, name, Step(writes={name: 1}), reads[name], open_) for name in sources),
        *(_end(SINK, name, Step(reads={name: 1}), writes[name], open_) for name in sinks),
    )
    return Graph(fifos=fifos, processes=(*processes, *ends), memories=memories)


def totals(processes: Iterable[Process], memories: Iterable[Memory]) -> tuple[Moved, Moved]:
    """Tokens read from and written to each FIFO by all processes and memories."""
    reads: Moved = Counter()
    writes: Moved = Counter()
    for process in processes:
        read, written = moved(process)
        reads.update(read)
        writes.update(written)
    for port in (port for memory in memories for port in memory.ports):
        bursts = sum(times for _, times in port.bursts)
        reads[port.request] += bursts
        (reads if port.writes else writes)[port.data] += sum(n * times for n, times in port.bursts)
        if port.done is not None:
            writes[port.done] += bursts
    return reads, writes


def _end(kind: str, name: str, step: Step, tokens: int, open_: Open) -> Process:
    """A mark before every token, so that the spans of a run tell its cycle."""
    program = (Loop(tokens, (Mark(name), step)),)
    return Process(name=f"{name} {kind}", program=program, open=open_.get(name))
