"""Dataflow graphs: processes that move tokens through bounded FIFOs, and memories that they share.

Cycles count from 0. A token that lands in a FIFO in cycle t can be read from t + 1 on; the room
that a read frees in cycle t can be taken from t + 1 on: FIFOs whose counters are registers.
A step issues in the first cycle t in which

- the interval of the step before has passed,
- every FIFO read or peeked at holds the tokens,
- every FIFO written or reserved has the room, counting tokens that are still on their way to it,
- the process is open.

It takes what it reads and claims room for what it writes in cycle t; what it writes lands in cycle
t + latency. Nothing is dropped, nothing overtakes: what happens does not depend on who looks first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count, Natural, Spec

MOST, MOST_NESTED = 2**40, 64
"""Of any figure, and of loops in loops."""


class Fifo(Spec, frozen=True, kw_only=True):
    """A queue of at most `depth` tokens of `bits` each, from one writer to one reader. depth None:
    without bound."""

    name: str
    depth: Count | None
    bits: Count = 32


class Step(Spec, frozen=True, kw_only=True):
    """What a process does in one cycle, `times` times over: FIFO -> tokens.

    peeks: tokens that must be there and stay there; reserves: room that must be there. Each of the
    four asks for itself: a step that reads 1 and peeks at 3 needs 3. With peeks and reserves,
    a FIFO of depth 2 is a double buffer: its writer reserves before it fills a half and writes when
    the half is full, its reader peeks before it uses a half and reads when done. interval: cycles
    until the next step may issue.
    """

    reads: Mapping[str, Count] = msgspec.field(default_factory=dict)
    writes: Mapping[str, Count] = msgspec.field(default_factory=dict)
    peeks: Mapping[str, Count] = msgspec.field(default_factory=dict)
    reserves: Mapping[str, Count] = msgspec.field(default_factory=dict)
    interval: Count = 1
    times: Natural = 1


class Loop(msgspec.Struct, frozen=True):
    """A body, `times` times over."""

    times: int
    body: Program


class Mark(msgspec.Struct, frozen=True):
    """From the issue of the next step on the process does what `label` says: a span of the
    timeline, up to the next mark or the end."""

    label: str


Program: TypeAlias = "tuple[Step | Loop | Mark, ...]"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A processing element: runs its program once. latency: cycles from a step's issue until its
    tokens land. open: `[period]` bool, the cycles (modulo the period) in which it may issue."""

    name: str
    program: Program
    latency: int = 0
    open: NDArray[np.bool_] | None = None


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A process's port to a memory. A token of the FIFO `request` asks for the next burst; its
    beats come through the FIFO `data` (`writes`: go through it to the memory). bursts: beats of
    each burst in order, as (beats, times) pairs. done: a FIFO that gets a token when a burst is
    over."""

    name: str
    request: str
    data: str
    bursts: tuple[tuple[int, int], ...]
    writes: bool = False
    done: str | None = None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A bus that ports share, one burst at a time, round robin from the port after the last one.

    A burst is granted in the first cycle t in which the bus is free, its request is there, its data
    FIFO has room for all its beats (a write: holds them all), and `done` has room. The request is
    taken and the room claimed in t. Beat k takes the bus for cycles_per_beat (numerator,
    denominator) and lands at t + latency + floor(k * cycles_per_beat), but no two beats of a port
    in one cycle; a write's beats leave their FIFO all in t. The bus is free again
    ceil(beats * cycles_per_beat) cycles after t, at least one.
    `done` lands with the last beat (of a write: in t + latency + floor((beats - 1) *
    cycles_per_beat)).
    """

    name: str
    ports: tuple[Port, ...]
    cycles_per_beat: tuple[int, int] = (1, 1)
    latency: int = 1


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A whole accelerator. Raises BadInput for what cannot be built (see `check`)."""

    fifos: tuple[Fifo, ...]
    processes: tuple[Process, ...]
    memories: tuple[Memory, ...] = ()

    def __post_init__(self) -> None:
        check(self)

    def with_depths(self, depths: Mapping[str, int | None]) -> Graph:
        """The same graph with other depths of the named FIFOs."""
        if unknown := depths.keys() - {fifo.name for fifo in self.fifos}:
            raise BadInput("is no FIFO of the graph", key=min(unknown))
        fifos = tuple(
            msgspec.structs.replace(fifo, depth=depths.get(fifo.name, fifo.depth))
            for fifo in self.fifos
        )
        return msgspec.structs.replace(self, fifos=fifos)


Moved: TypeAlias = "Counter[str]"


def beat_rate(cycles: float) -> tuple[int, int]:
    """cycles_per_beat of a port that takes so many cycles of the bus a beat, to a thousandth; a bus
    without limits takes a thousandth."""
    share = max(Fraction(cycles).limit_denominator(1000), Fraction(1, 1000))
    return share.numerator, share.denominator


def moved(process: Process) -> tuple[Moved, Moved]:
    """Tokens that a process reads from and writes to each FIFO, over its whole program."""
    reads: Moved = Counter()
    writes: Moved = Counter()
    for step, times in steps_of(process.program):
        for name, tokens in step.reads.items():
            reads[name] += tokens * times
        for name, tokens in step.writes.items():
            writes[name] += tokens * times
    return reads, writes


def steps_of(program: Program, times: int = 1) -> Iterator[tuple[Step, int]]:
    """Every step of a program with how often it issues in all."""
    for part in program:
        if isinstance(part, Loop):
            yield from steps_of(part.body, times * part.times)
        elif isinstance(part, Step):
            yield part, times * part.times


class Ends(msgspec.Struct, frozen=True):
    """Who writes a FIFO and who reads it, and how many tokens each of them moves."""

    writer: str
    written: int
    reader: str
    read: int

    def __str__(self) -> str:
        return f"{self.writer} writes {self.written:,} tokens, {self.reader} reads {self.read:,}"


def ends(graph: Graph) -> dict[str, Ends]:
    """Both ends of every FIFO; raises BadInput for one with none, or more than one, at an end."""
    writers: dict[str, dict[str, int]] = {fifo.name: {} for fifo in graph.fifos}
    readers: dict[str, dict[str, int]] = {fifo.name: {} for fifo in graph.fifos}

    def note(side: dict[str, dict[str, int]], fifo: str, who: str, tokens: int) -> None:
        if fifo not in side:
            raise BadInput("uses a FIFO that the graph does not have", key=who, value=fifo)
        side[fifo][who] = side[fifo].get(who, 0) + tokens

    for process in graph.processes:
        for step, times in steps_of(process.program):
            for name, tokens in (*step.reads.items(), *((name, 0) for name in step.peeks)):
                note(readers, name, process.name, tokens * times)
            for name, tokens in (*step.writes.items(), *((name, 0) for name in step.reserves)):
                note(writers, name, process.name, tokens * times)
    for memory in graph.memories:
        for port in memory.ports:
            who = f"{memory.name}.{port.name}"
            bursts = sum(times for _, times in port.bursts)
            beats = sum(beats * times for beats, times in port.bursts)
            note(readers, port.request, who, bursts)
            note(readers if port.writes else writers, port.data, who, beats)
            if port.done is not None:
                note(writers, port.done, who, bursts)
    for what, side in (("writer", writers), ("reader", readers)):
        for name, found in side.items():
            if len(found) != 1:
                who = ", ".join(found) or "none"
                raise BadInput(f"needs one {what}, has {who}", key=name)
    return {
        name: Ends(*next(iter(writers[name].items())), *next(iter(readers[name].items())))
        for name in writers
    }


def unbalanced(graph: Graph) -> dict[str, Ends]:
    """FIFOs whose writer and reader do not move equally many tokens: one of the two waits forever,
    or tokens are left. Found from the programs alone, before any cycle is simulated."""
    return {name: end for name, end in ends(graph).items() if end.written != end.read}


def check(graph: Graph) -> None:
    """Raises BadInput for names used twice, FIFOs without both ends, steps and bursts that no depth
    lets through, and figures out of range."""
    for process in graph.processes:
        _check_loops(process.name, process.program)
    _check_names("FIFO", [fifo.name for fifo in graph.fifos])
    ports = [f"{memory.name}.{port.name}" for memory in graph.memories for port in memory.ports]
    parts = [process.name for process in graph.processes]
    parts += [memory.name for memory in graph.memories]
    _check_names("process, memory and port", [*parts, *ports])
    for fifo in graph.fifos:
        _check_range(fifo.name, "depth", fifo.depth or 0)
    ends(graph)
    depths = {fifo.name: fifo.depth for fifo in graph.fifos}
    for process in graph.processes:
        _check_process(process, depths)
    for memory in graph.memories:
        _check_memory(memory, depths)


Limits: TypeAlias = "Mapping[str, int | None]"


def _check_names(kind: str, names: list[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise BadInput(
                f"names {times} parts of the graph: every {kind} needs its own name", key=name
            )


def _check_range(who: str, what: str, value: int) -> None:
    if not 0 <= value <= MOST:
        raise BadInput(f"must have a {what} from 0 to {MOST}", key=who, value=value)


def _check_fits(who: str, fifo: str, tokens: int, depths: Limits) -> None:
    _check_range(f"{who}, {fifo}", "number of tokens", tokens)
    limit = depths[fifo]
    if limit is not None and tokens > limit:
        raise BadInput(
            f"moves {tokens} tokens at once through a FIFO of depth {limit}: it needs {tokens}",
            key=f"{who}, {fifo}",
        )


def _check_process(process: Process, depths: Limits) -> None:
    _check_range(process.name, "latency", process.latency)
    if process.open is not None and not process.open.any():
        raise BadInput("is never open", key=process.name)
    # The same step comes again and again: each is looked at once.
    for step in {id(step): step for step, times in steps_of(process.program) if times}.values():
        _check_range(process.name, "interval", step.interval)
        for ports in (step.reads, step.writes, step.peeks, step.reserves):
            for name, tokens in ports.items():
                _check_fits(process.name, name, tokens, depths)


def _check_memory(memory: Memory, depths: Limits) -> None:
    _check_range(memory.name, "latency", memory.latency)
    if not all(1 <= value <= MOST for value in memory.cycles_per_beat):
        raise BadInput(f"needs cycles_per_beat of whole numbers from 1 to {MOST}", key=memory.name)
    for port in memory.ports:
        who = f"{memory.name}.{port.name}"
        if len({port.request, port.data, port.done}) < 3:
            raise BadInput("needs a FIFO each for request, data and done", key=who)
        for beats, times in port.bursts:
            if beats < 1 or times < 0:
                raise BadInput("has a burst without beats, or fewer than no bursts", key=who)
            if times:
                _check_fits(who, port.data, beats, depths)


def _check_loops(who: str, program: Program, nested: int = 1) -> None:
    if nested > MOST_NESTED:
        raise BadInput(f"nests loops over {MOST_NESTED} deep", key=who)
    for part in program:
        if isinstance(part, Loop):
            if part.times < 0:
                raise BadInput("loops a number of times below 0", key=who, value=part.times)
            _check_loops(who, part.body, nested + 1)
