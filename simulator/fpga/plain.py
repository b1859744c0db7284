"""The referee: ticks through every cycle and asks every rule of `graph` in turn. Slow and plain."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping

from .graph import Graph, Loop, Mark, Memory, Port, Process, Program, Step, ends, steps_of
from .result import FifoRun, MemoryRun, ProcessRun, Run, Span
from .stalls import Reason, Stuck, deadlock, reason


class _Queue:
    """A FIFO. `there` and `room` are registers: what holds at the start of a cycle."""

    def __init__(self, depth: int | None) -> None:
        self.depth = float("inf") if depth is None else depth
        self.lands: deque[int] = deque()  # cycle of each token in it or on its way
        self.there = self.room = 0.0
        self.taken = self.tokens = self.peak = 0

    def begin(self, cycle: int) -> None:
        self.there = sum(land < cycle for land in self.lands)
        self.room = self.depth - len(self.lands)
        self.taken = 0

    def read(self, tokens: int) -> None:
        for _ in range(tokens):
            self.lands.popleft()
        self.taken += tokens

    def write(self, lands: list[int]) -> None:
        self.lands.extend(lands)
        self.tokens += len(lands)

    def end(self) -> None:
        self.peak = max(self.peak, len(self.lands) + self.taken)


Queues = Mapping[str, _Queue]


def _unmet(queues: Queues, tokens: Mapping[str, int], room: Mapping[str, int]) -> Stuck | None:
    """The first FIFO that lacks the tokens or the room."""
    for name, needs in tokens.items():
        if queues[name].there < needs:
            return Stuck(name, False, needs)
    for name, needs in room.items():
        if queues[name].room < needs:
            return Stuck(name, True, needs)
    return None


def most(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Both of two needs, each for itself."""
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}


class _Worker:
    """A process on its way through its program."""

    def __init__(self, process: Process, why: Mapping[Stuck, Reason]) -> None:
        self.process, self.why = process, why
        self.program = _unrolled(process.program)
        self.now = next(self.program, None)
        self.ready = self.steps = self.busy = 0
        self.first = self.last = -1
        self.waits: Counter[Reason] = Counter()  # of the next step
        self.stalls: Counter[Reason] = Counter()
        self.spans: list[Span] = []
        self.doing: tuple[str, int] | None = None

    def stuck(self, queues: Queues) -> Stuck | None:
        if self.now is None:
            return None
        step = self.now[1]
        tokens, room = most(step.reads, step.peeks), most(step.writes, step.reserves)
        return _unmet(queues, tokens, room)

    def tick(self, cycle: int, queues: Queues) -> int:
        """Issues the next step if it may; returns the last cycle in which that does something."""
        if self.now is None or cycle < self.ready:
            return -1
        label, step = self.now
        if at := self.stuck(queues):
            waited = self.waits.total()
            self.waits = Counter({self.why[Stuck(at.fifo, at.room, 0)]: waited + 1})
            return -1
        if not self.open(cycle):
            self.waits[Reason("closed")] += 1
            return -1
        for name, tokens in step.reads.items():
            queues[name].read(tokens)
        for name, tokens in step.writes.items():
            queues[name].write([cycle + self.process.latency] * tokens)
        self.note(cycle, label, step)
        return cycle + self.process.latency if step.writes else cycle

    def open(self, cycle: int) -> bool:
        pattern = self.process.open
        return pattern is None or bool(pattern[cycle % len(pattern)])

    def note(self, cycle: int, label: str | None, step: Step) -> None:
        if label is not None:
            self.close(cycle)
            self.doing = (label, cycle)
        if self.steps:
            self.stalls += self.waits
        else:
            self.first = cycle
        self.waits.clear()
        self.steps += 1
        self.busy += step.interval
        self.last, self.ready = cycle, cycle + step.interval
        self.now = next(self.program, None)

    def close(self, cycle: int) -> None:
        if self.doing is not None:
            self.spans.append(Span(self.process.name, *self.doing, cycle))

    def run(self) -> ProcessRun:
        return ProcessRun(
            steps=self.steps,
            first=self.first,
            last=self.last,
            busy=self.busy,
            stalls=dict(self.stalls),
        )


def _unrolled(program: Program) -> Iterator[tuple[str | None, Step]]:
    """Every step one by one, with the mark before it."""
    label = None
    for part in _parts(program):
        if isinstance(part, Mark):
            label = part.label
        else:
            yield label, part
            label = None


def _parts(program: Program) -> Iterator[Step | Mark]:
    for part in program:
        if isinstance(part, Loop):
            for _ in range(part.times):
                yield from _parts(part.body)
        elif isinstance(part, Mark):
            yield part
        else:
            for _ in range(part.times):
                yield part


class _Bus:
    """A memory: its ports take turns."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.left = [[n for n, times in port.bursts for _ in range(times)] for port in memory.ports]
        self.turn = self.free = self.bursts = self.busy = 0
        self.landed = [-1] * len(memory.ports)  # the last beat of each port

    def stuck(self, port: int, queues: Queues) -> Stuck | None:
        if not self.left[port]:
            return None
        at, beats = self.memory.ports[port], self.left[port][0]
        tokens = {at.request: 1} | ({at.data: beats} if at.writes else {})
        room = {} if at.writes else {at.data: beats}
        return _unmet(queues, tokens, room | ({at.done: 1} if at.done else {}))

    def tick(self, cycle: int, queues: Queues) -> int:
        """Grants the next burst if it may; returns when its last beat lands."""
        if cycle < self.free:
            return -1
        ports = len(self.memory.ports)
        for port in ((self.turn + i) % ports for i in range(ports)):
            if self.left[port] and not self.stuck(port, queues):
                self.turn = (port + 1) % ports
                return self.grant(port, cycle, queues)
        return -1

    def grant(self, index: int, cycle: int, queues: Queues) -> int:
        port, beats = self.memory.ports[index], self.left[index].pop(0)
        top, bottom = self.memory.cycles_per_beat
        taken = max(1, -(-beats * top // bottom))
        self.free, self.bursts, self.busy = cycle + taken, self.bursts + 1, self.busy + taken
        queues[port.request].read(1)
        start = cycle + self.memory.latency
        if port.writes:
            queues[port.data].read(beats)
            last = start + (beats - 1) * top // bottom
        else:
            last = self.land(port, index, [start + k * top // bottom for k in range(beats)], queues)
        if port.done:
            queues[port.done].write([last])
        return last

    def land(self, port: Port, index: int, cycles: list[int], queues: Queues) -> int:
        """No two beats of a port land in one cycle."""
        lands = []
        for cycle in cycles:
            self.landed[index] = max(cycle, self.landed[index] + 1)
            lands.append(self.landed[index])
        queues[port.data].write(lands)
        return lands[-1]


def plain(
    graph: Graph, *, depths: Mapping[str, int | None] | None = None, spans: bool = False
) -> Run:
    """Runs a graph to its end or to a deadlock, cycle by cycle."""
    graph = graph.with_depths(depths or {})
    queues = {fifo.name: _Queue(fifo.depth) for fifo in graph.fifos}
    workers = [_Worker(process, _reasons(graph)) for process in graph.processes]
    buses = [_Bus(memory) for memory in graph.memories]
    cycle, last, patience = 0, -1, _patience(graph)
    while cycle <= last + patience:
        for queue in queues.values():
            queue.begin(cycle)
        for worker in workers:
            last = max(last, worker.tick(cycle, queues))
        for bus in buses:
            last = max(last, bus.tick(cycle, queues))
        for queue in queues.values():
            queue.end()
        cycle += 1
    return _run(graph, last + 1, queues, workers, buses, spans)


def _reasons(graph: Graph) -> dict[Stuck, Reason]:
    """Why one waits, by the condition that does not hold, whatever the tokens."""
    processes, both = {process.name for process in graph.processes}, ends(graph)
    return {
        Stuck(fifo, room, 0): reason(both, processes, fifo, room)
        for fifo in both
        for room in (False, True)
    }


def _patience(graph: Graph) -> int:
    """Cycles after which nothing more can come when nothing came: longer than any wait that ends
    by itself."""
    intervals = (s.interval for p in graph.processes for s, _ in steps_of(p.program))
    periods = (len(p.open) for p in graph.processes if p.open is not None)
    buses = (
        beats * m.cycles_per_beat[0] // m.cycles_per_beat[1] + 1
        for m in graph.memories
        for port in m.ports
        for beats, _ in port.bursts
    )
    return 1 + max(intervals, default=0) + max(periods, default=0) + max(buses, default=0)


def _run(
    graph: Graph,
    cycles: int,
    queues: dict[str, _Queue],
    workers: list[_Worker],
    buses: list[_Bus],
    spans: bool,
) -> Run:
    stuck = {w.process.name: at for w in workers if (at := w.stuck(queues))}
    for bus in buses:
        for index, port in enumerate(bus.memory.ports):
            if at := bus.stuck(index, queues):
                stuck[f"{bus.memory.name}.{port.name}"] = at
    held = {name: len(queue.lands) for name, queue in queues.items()}
    depth = {fifo.name: fifo.depth for fifo in graph.fifos}
    for worker in workers:
        worker.close(worker.ready)
    return Run(
        cycles=cycles,
        processes={w.process.name: w.run() for w in workers},
        fifos={name: FifoRun(queue.tokens, queue.peak) for name, queue in queues.items()},
        memories={bus.memory.name: MemoryRun(bus.bursts, bus.busy) for bus in buses},
        spans=tuple(span for w in workers for span in w.spans if spans),
        deadlock=deadlock(cycles, ends(graph), depth, held, stuck),
    )
