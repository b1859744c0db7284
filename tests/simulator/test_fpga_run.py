"""The dataflow engine, which has no clock, against the referee that ticks through every cycle."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.fpga.graph import (
    Fifo,
    Graph,
    Loop,
    Mark,
    Memory,
    Port,
    Process,
    Step,
    steps_of,
)
from moesaic.simulator.fpga.perfetto import timeline
from moesaic.simulator.fpga.plain import plain
from moesaic.simulator.fpga.run import simulate
from moesaic.simulator.fpga.stalls import Reason

few = st.integers(1, 3)
chance = st.integers(0, 3).map(lambda n: n == 0)
SIDES = {"reads": "peeks", "writes": "reserves"}


def moving(side, name, tokens):
    """A step that moves tokens of one FIFO."""
    return Step(reads={name: tokens}) if side == "reads" else Step(writes={name: tokens})


class Drawing:
    """A random graph: FIFOs between any two ends, and what each process moves in a round."""

    def __init__(self, draw, memories):
        self.draw = draw
        self.processes = draw(st.integers(2, 4))
        self.rounds = draw(st.integers(1, 4))
        self.calm = draw(chance) or draw(st.booleans())  # nothing that is likely to stand still
        self.depths = []
        # Of a round: side, FIFO, tokens.
        self.moves: list[list[tuple[str, str, int]]] = [[] for _ in range(self.processes)]
        for _ in range(draw(st.integers(0 if memories else 1, 5))):
            first, second = sorted((self.who(), self.who()))
            if not self.calm and draw(chance):
                first, second = second, first
            if first != second or (not self.calm and draw(chance)):
                self.fifo(draw(few) * draw(few), writer=first, reader=second)
        self.memories = tuple(self.memory(i) for i in range(draw(st.integers(0, memories))))

    def who(self):
        return self.draw(st.integers(0, self.processes - 1))

    def fifo(self, tokens, writer=None, reader=None, least=3):
        name = f"f{len(self.depths)}"
        self.depths.append(self.draw(st.sampled_from([None, *range(least, least + 3)])))
        for side, process in (("writes", writer), ("reads", reader)):
            if process is not None:
                self.moves[process].append((side, name, tokens))
        return name

    def memory(self, number):
        ratio = st.sampled_from([(1, 1), (3, 2), (1, 2), (5, 1), (1, 7)])
        ports = tuple(self.port(i) for i in range(self.draw(few)))
        return Memory(
            name=f"m{number}",
            ports=ports,
            cycles_per_beat=self.draw(ratio),
            latency=self.draw(st.integers(0, 6)),
        )

    def port(self, number):
        draw, writes, beats = self.draw, self.draw(st.booleans()), self.draw(st.integers(1, 5))
        asks, takes = (0, self.processes - 1) if self.calm else (self.who(), self.who())
        end = {"writer": asks} if writes else {"reader": takes}
        return Port(
            name=f"p{number}",
            request=self.fifo(1, writer=asks, least=1),
            data=self.fifo(beats, **end, least=beats),
            bursts=((beats, self.rounds),),
            writes=writes,
            done=self.fifo(1, reader=takes, least=1) if draw(chance) else None,
        )

    def body(self, process):
        """The moves of a round in steps, in any order."""
        pieces = [
            (side, name, piece)
            for side, name, tokens in self.moves[process]
            for piece in self.pieces(tokens)
        ]
        if self.calm:
            pieces.sort(key=lambda piece: piece[:2])  # reads first
        else:
            pieces = list(self.draw(st.permutations(pieces)))
        parts = []
        while pieces:
            count = self.draw(few)
            parts += self.step(pieces[:count])
            pieces = pieces[count:]
        return tuple(parts)

    def pieces(self, tokens):
        while tokens:
            piece = min(tokens, self.draw(few))
            yield piece
            tokens -= piece

    def step(self, pieces):
        step: dict[str, Any] = {side: {} for side in (*SIDES, *SIDES.values())}
        for side, name, tokens in pieces:
            if name in step[side]:
                yield moving(side, name, tokens)
                continue
            times = tokens if self.draw(chance) else 1
            if times > 1:
                yield Loop(times, (moving(side, name, 1),))
                continue
            step[side][name] = tokens
            if self.draw(chance):
                step[SIDES[side]][name] = min(self.draw(few), self.depths[int(name[1:])] or 3)
        if self.draw(chance):
            yield Mark(self.draw(st.sampled_from("abc")))
        times = 0 if self.draw(chance) and self.draw(chance) else 1
        yield Step(**step, interval=self.draw(few), times=times)

    def process(self, number):
        draw, body = self.draw, self.body(number)
        rounds = self.rounds + (draw(st.integers(-1, 1)) if draw(chance) and not self.calm else 0)
        pattern = st.lists(st.booleans(), min_size=1, max_size=7).filter(any)
        return Process(
            name=f"p{number}",
            program=(Loop(rounds, body),),
            latency=draw(st.integers(0, 5)),
            open=np.array(draw(pattern)) if draw(chance) else None,
        )


@st.composite
def graphs(draw, memories=2):
    """Any wiring with rates that mostly match; many run to their end, many stand still."""
    drawing = Drawing(draw, memories)
    processes = tuple(drawing.process(i) for i in range(drawing.processes))
    fifos = tuple(Fifo(name=f"f{i}", depth=depth) for i, depth in enumerate(drawing.depths))
    return Graph(fifos=fifos, processes=processes, memories=drawing.memories)


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_the_engine_equals_the_referee_in_every_number(graph):
    assert simulate(graph, spans=True) == plain(graph, spans=True)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(graphs())
def test_the_engine_equals_the_referee_on_thousands_of_graphs(graph):
    assert simulate(graph, spans=True) == plain(graph, spans=True)


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_what_passes_between_first_and_last_issue_is_work_or_a_stall(graph):
    run = simulate(graph)
    steps = {process.name: process for process in graph.processes}
    for name, process in run.processes.items():
        gap = process.last - process.first
        waited = process.busy + sum(process.stalls.values())
        intervals = {step.interval for step, _ in steps_of(steps[name].program)}
        assert process.steps == 0 or waited - gap in intervals


@settings(max_examples=25, deadline=None)
@given(graphs(memories=0))
def test_fifos_as_deep_as_their_peaks_change_nothing_and_deeper_ones_are_never_slower(graph):
    run, free = simulate(graph), simulate(graph, depths={f.name: None for f in graph.fifos})
    peaks = {name: fifo.peak + 3 for name, fifo in free.fifos.items()}  # 3: may be reserved
    assert simulate(graph, depths=peaks).cycles == free.cycles
    if run.deadlock is None:
        assert free.deadlock is None
        assert free.cycles <= run.cycles


def row(*programs, depth=2, latency=0):
    """Processes in a row, a FIFO from each to the next."""
    return Graph(
        fifos=tuple(Fifo(name=f"f{i}", depth=depth) for i in range(len(programs) - 1)),
        processes=tuple(
            Process(name=f"p{i}", program=program, latency=latency)
            for i, program in enumerate(programs)
        ),
    )


def test_a_row_with_room_for_two_works_in_every_cycle():
    middle = Step(reads={"f0": 1}, writes={"f1": 1}, times=100)
    graph = row(
        (Step(writes={"f0": 1}, times=100),), (middle,), (Step(reads={"f1": 1}, times=100),)
    )
    assert simulate(graph).cycles == 102
    assert simulate(graph, depths={"f0": 1}).cycles == 201  # a token every other cycle


def test_the_room_of_tokens_on_their_way_is_taken():
    """Depth d and latency L: d tokens every L + 2 cycles, from claim to after the read."""
    source, sink = Step(writes={"f0": 1}, times=60), Step(reads={"f0": 1}, times=60)
    for depth, latency in ((1, 0), (1, 3), (2, 4), (5, 4), (6, 4), (9, 4)):
        run = simulate(row((source,), (sink,), depth=depth, latency=latency))
        period = max(latency + 2, depth)
        groups, rest = divmod(59, depth) if depth < latency + 2 else (0, 59)
        assert run.processes["p0"].last == groups * period + rest


def test_the_last_condition_to_hold_has_the_stall():
    slow = (Step(writes={"f0": 1}, times=3, interval=5),)
    graph = row(slow, (Step(reads={"f0": 1}, times=3),))
    assert simulate(graph).processes["p1"].stalls == {Reason("empty", "f0"): 8}
    graph = row(
        (Step(writes={"f0": 1}, times=4),), (Step(reads={"f0": 1}, times=4, interval=5),), depth=1
    )
    assert simulate(graph).processes["p0"].stalls == {Reason("full", "f0"): 9}


def test_a_closed_process_waits_for_its_cycle():
    once = np.arange(10) == 7
    graph = Graph(
        fifos=(Fifo(name="f", depth=2),),
        processes=(
            Process(name="a", program=(Step(writes={"f": 1}, times=3),)),
            Process(name="b", program=(Step(reads={"f": 1}, times=3),), open=once),
        ),
    )
    run = simulate(graph)
    assert run.cycles == 28
    assert run.processes["b"].stalls == {Reason("closed"): 18}


def double_buffer(fills):
    """A loader that fills halves, an array that uses each of them three times."""
    load = (Step(reserves={"w": 1}), Step(times=2), Step(writes={"w": 1}))
    use = (Step(peeks={"w": 1}, times=11), Step(reads={"w": 1}))
    return Graph(
        fifos=(Fifo(name="w", depth=2),),
        processes=(
            Process(name="load", program=(Loop(fills, load),)),
            Process(name="use", program=(Loop(fills, (Mark("use"), *use)),)),
        ),
    )


def test_a_double_buffer_hides_the_loads_after_the_first():
    run = simulate(double_buffer(5), spans=True)
    assert run.cycles == 4 + 5 * 12
    assert [(span.start, span.end) for span in run.spans] == [
        (4 + 12 * i, 16 + 12 * i) for i in range(5)
    ]


def test_spans_become_a_timeline_of_processes():
    shown = timeline(simulate(double_buffer(2), spans=True), clock_hz=1e6)
    assert shown.seconds == pytest.approx(28e-6)
    assert '"args":{"name":"use"}' in shown.perfetto()
    assert timeline(simulate(double_buffer(2)), clock_hz=1e6).seconds == 0


def bus(ports, rate=(1, 1), latency=10, bursts=((4, 2),)):
    """Readers that ask for bursts at once and take their beats."""
    names = [f"{i}" for i in range(ports)]
    asked = sum(times for _, times in bursts)
    beats = sum(beats * times for beats, times in bursts)
    return Graph(
        fifos=tuple(Fifo(name=k + n, depth=None) for n in names for k in ("ask", "data")),
        processes=tuple(
            Process(
                name=f"reader{n}",
                program=(
                    Step(writes={f"ask{n}": 1}, times=asked),
                    Step(reads={f"data{n}": 1}, times=beats),
                ),
            )
            for n in names
        ),
        memories=(
            Memory(
                name="ddr",
                ports=tuple(
                    Port(name=n, request=f"ask{n}", data=f"data{n}", bursts=bursts) for n in names
                ),
                cycles_per_beat=rate,
                latency=latency,
            ),
        ),
    )


def test_ports_take_turns_and_the_bus_is_never_idle():
    run = simulate(bus(2))
    assert run.memories["ddr"].busy == 16
    # Requests land in cycle 0, so the four bursts go in 1, 5, 9 and 13.
    assert run.processes["reader0"].last == 9 + 10 + 3 + 1
    assert run.processes["reader1"].last == 13 + 10 + 3 + 1
    assert run.processes["reader1"].stalls == {Reason("memory", "data1"): 27 - 1 - 7 - 1 + 0}


def test_beats_of_a_wide_bus_come_one_a_cycle_and_of_a_slow_one_by_its_rate():
    fast, slow = simulate(bus(1, (1, 4), 0, ((8, 1),))), simulate(bus(1, (5, 2), 0, ((8, 1),)))
    assert fast.memories["ddr"].busy == 2
    assert fast.cycles == 1 + 7 + 2
    assert slow.memories["ddr"].busy == 20
    assert slow.cycles == 1 + 17 + 2


def test_a_deadlock_is_named_by_its_cycle_of_waits():
    """Scores must hold a whole row before the row's maximum comes."""
    qk = (Step(writes={"scores": 1}, times=64), Step(writes={"row_max": 1}))
    av = (Step(reads={"row_max": 1}), Step(reads={"scores": 1}, times=64))
    graph = Graph(
        fifos=(Fifo(name="scores", depth=63), Fifo(name="row_max", depth=2)),
        processes=(Process(name="qk", program=qk), Process(name="av", program=av)),
    )
    run = simulate(graph)
    assert run.cycles == 63
    assert str(run.deadlock) == (
        "deadlock in cycle 63: qk waits for room in scores (full, 63 of 63), which av reads, "
        "av waits for tokens in row_max (empty), which qk writes"
    )
    assert simulate(graph, depths={"scores": 64}).deadlock is None


def test_one_who_waits_for_a_process_that_has_ended_is_named():
    graph = row((Step(writes={"f0": 1}, times=3),), (Step(reads={"f0": 2}, times=2),))
    assert str(simulate(graph).deadlock) == (
        "deadlock in cycle 4: p1 waits for tokens in f0 (holds 1, needs 2), "
        "which p0 writes and has ended"
    )


def test_a_port_without_requests_is_stuck():
    graph = bus(1)
    reader = Process(
        name="reader0", program=(Step(writes={"ask0": 1}), Step(reads={"data0": 1}, times=4))
    )
    run = simulate(msgspec.structs.replace(graph, processes=(reader,)))
    assert str(run.deadlock).endswith(
        "ddr.0 waits for tokens in ask0 (empty), which reader0 writes and has ended"
    )


def test_what_is_too_large_is_refused_in_one_sentence():
    loop = (Loop(2**30, (Loop(2**10, (Step(writes={"f0": 1}),)),)),)
    graph = row(loop, (Step(reads={"f0": 1}),))
    with pytest.raises(BadInput, match="is not run: at most"):
        simulate(graph)
    wait = Step(writes={"f0": 1}, interval=2**40, times=2**30)
    with pytest.raises(BadInput, match="may take"):
        simulate(row((wait,), (Step(reads={"f0": 1}),)))
    marks = (Loop(2**23, (Mark("a"), Step(writes={"f0": 1}))),)
    with pytest.raises(BadInput, match="run it without spans"):
        simulate(row(marks, (Step(reads={"f0": 1}, times=2**23),)), spans=True)
    deep = row(
        (Step(writes={"f0": 1}, times=2**32),), (Step(reads={"f0": 1}, times=2**32),), depth=2**31
    )
    with pytest.raises(BadInput, match="over 1 GiB"):
        simulate(deep)
