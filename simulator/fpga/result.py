"""What a graph did, cycle by cycle summed up: ends, stalls by reason, FIFO peaks, spans."""

from __future__ import annotations

import msgspec

from .stalls import Deadlock, Reason


class ProcessRun(msgspec.Struct, frozen=True, kw_only=True):
    """steps: that issued; first, last: cycles of the first and the last of them (-1: none did).
    busy: their intervals in all. stalls: cycles waited after the first issue, by reason; cycles up
    to when all FIFOs are ready count for the one that was ready last, those after as closed.

    first + busy + stalls = last + the last step's interval.
    """

    steps: int
    first: int
    last: int
    busy: int
    stalls: dict[Reason, int]


class FifoRun(msgspec.Struct, frozen=True):
    """tokens: written or claimed. peak: the most that were in it or on their way, those read in
    the same cycle included: a FIFO so deep, and with the room that steps reserve but do not write,
    would have changed nothing."""

    tokens: int
    peak: int


class MemoryRun(msgspec.Struct, frozen=True):
    """bursts that were granted, and the cycles in which the bus was taken."""

    bursts: int
    busy: int


class Span(msgspec.Struct, frozen=True):
    """From cycle `start` up to `end` (excluded) a process did what a mark says."""

    process: str
    label: str
    start: int
    end: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """cycles: 1 + the last cycle in which a step issued or a token landed (a write's beats land in
    the memory)."""

    cycles: int
    processes: dict[str, ProcessRun]
    fifos: dict[str, FifoRun]
    memories: dict[str, MemoryRun]
    spans: tuple[Span, ...]
    deadlock: Deadlock | None

    @property
    def steps(self) -> int:
        return sum(process.steps for process in self.processes.values())
