"""A plan: kernels put one after the other on the processes of an accelerator; who waits for whom.

Each process keeps one program for the whole image, to which every kernel appends. A kernel that
needs another's results waits for a token that the other's last process sends.
"""

from __future__ import annotations

import msgspec

from ..graph import Fifo, Graph, Loop, Mark, Memory, Port, Process, Program, Step


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """The memory as ports see it: cycles that a beat takes the bus, cycles until data comes, beats
    of a full burst, bursts that a port has under way."""

    cycles_per_beat: tuple[int, int]
    latency: int
    burst: int
    bursts_ahead: int
    beat_bits: int


class Done(msgspec.Struct, frozen=True):
    """A point in a process's program; `sent` holds the steps that tell others it is reached."""

    process: str
    sent: list[Step]


class Plan:
    """Collects processes, FIFOs and ports; `graph()` gives the whole. label: what the programs
    appended from now on are for: a span of the timeline."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._fifos: dict[str, Fifo] = {}
        self._programs: dict[str, list[Loop | Step | Mark | list[Step]]] = {}
        self._latency: dict[str, int] = {}
        self._labels: dict[str, str] = {}
        self.label = ""
        self._ports: dict[str, Port] = {}
        self._bursts: dict[str, list[tuple[int, int]]] = {}

    def fifo(self, name: str, depth: int | None, bits: int = 1) -> str:
        """The FIFO of that name, made when first named."""
        self._fifos.setdefault(name, Fifo(name=name, depth=depth, bits=bits))
        return name

    def run(self, process: str, program: Program, latency: int = 0) -> None:
        """Appends to what a process does, under the label of the moment."""
        parts = self._programs.setdefault(process, [])
        if self._labels.get(process) != self.label:
            self._labels[process] = self.label
            parts.append(Mark(self.label))
        parts.extend(program)
        self._latency[process] = max(latency, self._latency.get(process, 0))

    def done(self, process: str) -> Done:
        """All that a process does up to here."""
        here = Done(process, [])
        self._programs.setdefault(process, []).append(here.sent)
        return here

    def wait(self, process: str, *points: Done) -> None:
        """What a process does from here on waits for the points: a cycle at both ends for each, to
        send and to take a token."""
        for point in points:
            token = self.fifo(f"{point.process} to {process}", None)
            point.sent.append(Step(writes={token: 1}))
            self.run(process, (Step(reads={token: 1}),))

    def read(self, port: str, beats: int) -> str:
        """Beats come from the memory through a port; gives their FIFO. The process `port` asks."""
        return self._move(port, beats, writes=False)

    def write(self, port: str, beats: int) -> str:
        """Beats go to the memory through a port; gives their FIFO. The process `port` asks, a full
        burst at a time, and is done when the memory has them all."""
        return self._move(port, beats, writes=True)

    def _move(self, port: str, beats: int, *, writes: bool) -> str:
        bus = self.bus
        data = self.fifo(f"{port}.data", bus.bursts_ahead * bus.burst, bus.beat_bits)
        ask = self.fifo(f"{port}.ask", bus.bursts_ahead)
        done = self.fifo(f"{port}.done", None) if writes else None
        whole, rest = divmod(beats, bus.burst)
        self._bursts.setdefault(port, []).extend(
            (size, times) for size, times in ((bus.burst, whole), (rest, 1)) if size and times
        )
        self._ports.setdefault(
            port, Port(name=port, request=ask, data=data, bursts=(), writes=writes, done=done)
        )
        bursts = whole + bool(rest)
        self.run(port, (Step(writes={ask: 1}, times=bursts),))
        if done is not None:
            self.run(port, (Step(reads={done: 1}, times=bursts),))
        return data

    def graph(self) -> Graph:
        bus = self.bus
        memory = Memory(
            name="memory",
            cycles_per_beat=bus.cycles_per_beat,
            latency=bus.latency,
            ports=tuple(
                msgspec.structs.replace(port, bursts=tuple(self._bursts[name]))
                for name, port in self._ports.items()
            ),
        )
        processes = tuple(
            Process(name=name, program=_flat(parts), latency=self._latency[name])
            for name, parts in self._programs.items()
        )
        return Graph(fifos=tuple(self._fifos.values()), processes=processes, memories=(memory,))


def _flat(parts: list[Loop | Step | Mark | list[Step]]) -> Program:
    """A program with the tokens that others came to wait for."""
    flat: list[Loop | Step | Mark] = []
    for part in parts:
        if isinstance(part, list):
            flat.extend(part)
        else:
            flat.append(part)
    return tuple(flat)
