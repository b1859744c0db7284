"""A graph as the flat tables that the compiled engine runs: csrc/dataflow/graph.hpp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..._core import Dataflow
from ...base import BadInput
from .graph import Ends, Graph, Loop, Memory, Process, Program, Step, ends, steps_of
from .stalls import Reason, reason

STEP, LOOP, AGAIN, MARK = range(4)
MOST_STEPS, MOST_CYCLES, MOST_MARKS = 2**34, 2**60, 2**22

Table = NDArray[np.int64]


class Flat(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The engine's copy of a graph, and what its numbers mean: of each need its `owner` (index of
    the process), its FIFO, room and tokens, and its reason; the labels of marks."""

    graph: Graph
    engine: Dataflow
    ends: dict[str, Ends]
    owner: list[int]
    needs: list[tuple[str, bool, int]]
    reasons: list[Reason]
    labels: list[str]

    def depths(self, other: Mapping[str, int | None]) -> Table:
        """Depths of all FIFOs, -1 for none, the named ones replaced."""
        return np.array(
            [-1 if (d := other.get(f.name, f.depth)) is None else d for f in self.graph.fifos],
            dtype=np.int64,
        )


class _Tables:
    """Rows as they are made, program by program."""

    def __init__(self, graph: Graph, marks: bool) -> None:
        self.fifos = {fifo.name: i for i, fifo in enumerate(graph.fifos)}
        self.marks = marks
        self.needs: list[tuple[int, int, int, int]] = []
        self.kinds: list[tuple[int, int, int]] = []
        self.ops: list[tuple[int, int, int]] = []
        self.labels: dict[str, int] = {}
        self.owner: list[int] = []
        self.known: dict[int, int] = {}

    def program(self, owner: int, program: Program) -> int:
        """Adds a program; returns how many steps it has."""
        steps = 0
        for part in program:
            if isinstance(part, Step):
                if part.times:
                    self.ops.append((STEP, self.kind(owner, part), part.times))
                steps += part.times
            elif isinstance(part, Loop):
                steps += self.loop(owner, part)
            elif self.marks:
                label = self.labels.setdefault(part.label, len(self.labels))
                self.ops.append((MARK, label, 1))
        return steps

    def loop(self, owner: int, loop: Loop) -> int:
        if not loop.times:
            return 0
        start = len(self.ops)
        self.ops.append((LOOP, 0, loop.times))
        steps = self.program(owner, loop.body)
        if steps:
            self.ops.append((AGAIN, start, 1))
        else:  # its marks are as good as one round of them
            del self.ops[start]
        return steps * loop.times

    def kind(self, owner: int, step: Step) -> int:
        """The number of a step's kind; a step object is one kind, however often it stands there."""
        if id(step) not in self.known:
            first = len(self.needs)
            for room, moves, more in (
                (0, step.reads, step.peeks),
                (1, step.writes, step.reserves),
            ):
                for name in {**moves, **more}:
                    moved, tokens = moves.get(name, 0), more.get(name, 0)
                    self.needs.append((self.fifos[name], room, max(moved, tokens), moved))
            self.owner += [owner] * (len(self.needs) - first)
            self.known[id(step)] = len(self.kinds)
            self.kinds.append((first, len(self.needs), step.interval))
        return self.known[id(step)]


def flatten(graph: Graph, *, marks: bool = False) -> Flat:
    """Raises BadInput for what is too large to be run."""
    _check_size(graph, marks)
    tables, rows = _Tables(graph, marks), []
    for i, process in enumerate(graph.processes):
        tables.known.clear()
        first = len(tables.ops)
        tables.program(i, process.program)
        rows.append((first, len(tables.ops), process.latency))
    engine = Dataflow(
        fifos=len(graph.fifos),
        needs=_table(tables.needs, 4),
        kinds=_table(tables.kinds, 3),
        ops=_table(tables.ops, 3),
        processes=_table(rows, 3),
        waits=[_waits(process) for process in graph.processes],
        memories=[_memory(memory, tables.fifos) for memory in graph.memories],
    )
    both, names = ends(graph), {process.name for process in graph.processes}
    needs = [(graph.fifos[n[0]].name, bool(n[1]), n[2]) for n in tables.needs]
    return Flat(
        graph=graph,
        engine=engine,
        ends=both,
        owner=tables.owner,
        needs=needs,
        reasons=[reason(both, names, fifo, room) for fifo, room, _ in needs],
        labels=list(tables.labels),
    )


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> Table:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


def _waits(process: Process) -> Table:
    """Cycles until the process is open, by cycle of its period; nothing where it always is."""
    if process.open is None or process.open.all():
        return np.zeros(0, dtype=np.int64)
    open_at = np.flatnonzero(process.open)
    period = len(process.open)
    cycles = np.arange(period)
    after = np.append(open_at, open_at[0] + period)[np.searchsorted(open_at, cycles)]
    return (after - cycles).astype(np.int64)


def _memory(memory: Memory, fifos: Mapping[str, int]) -> tuple[Table, Table, list[Table]]:
    ports = [
        (fifos[p.request], fifos[p.data], -1 if p.done is None else fifos[p.done], int(p.writes))
        for p in memory.ports
    ]
    bursts = [_table([b for b in p.bursts if b[1]], 2) for p in memory.ports]
    rate = np.array([*memory.cycles_per_beat, memory.latency], dtype=np.int64)
    return rate, _table(ports, 4), bursts


def _check_size(graph: Graph, marks: bool) -> None:
    steps = cycles = 0
    for process in graph.processes:
        period = 0 if process.open is None else len(process.open)
        for step, times in steps_of(process.program):
            steps += times
            cycles += times * (step.interval + process.latency + period + 2)
        if marks and (count := _marks(process.program)) > MOST_MARKS:
            raise BadInput(
                f"marks {count} spans, over {MOST_MARKS}: run it without spans", key=process.name
            )
    for memory in graph.memories:
        top, bottom = memory.cycles_per_beat
        for beats, times in (burst for port in memory.ports for burst in port.bursts):
            steps += beats * times
            cycles += times * (beats * max(top, bottom) + memory.latency + 2)
    if steps > MOST_STEPS:
        raise BadInput(f"a graph of {steps} steps and beats is not run: at most {MOST_STEPS}")
    if cycles > MOST_CYCLES:
        raise BadInput(f"may take {cycles} cycles, over {MOST_CYCLES}, and is not run")


def _marks(program: Program) -> int:
    return sum(
        part.times * _marks(part.body) if isinstance(part, Loop) else not isinstance(part, Step)
        for part in program
    )
