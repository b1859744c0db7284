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
    """A graph whose sources offer what the processes read and whose sinks take what they write."""
    reads, writes = totals(processes)
    ends = (
        *(_end(SOURCE, name, Step(writes={name: 1}), reads[name], open_) for name in sources),
        *(_end(SINK, name, Step(reads={name: 1}), writes[name], open_) for name in sinks),
    )
    return Graph(fifos=fifos, processes=(*processes, *ends), memories=memories)


def totals(processes: Iterable[Process]) -> tuple[Moved, Moved]:
    """Tokens read from and written to each FIFO by all processes."""
    reads: Moved = Counter()
    writes: Moved = Counter()
    for process in processes:
        read, written = moved(process)
        reads.update(read)
        writes.update(written)
    return reads, writes


def _end(kind: str, name: str, step: Step, tokens: int, open_: Open) -> Process:
    """A mark before every token, so that the spans of a run tell its cycle."""
    program = (Loop(tokens, (Mark(name), step)),)
    return Process(name=f"{name} {kind}", program=program, open=open_.get(name))
