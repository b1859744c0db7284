"""The dataflow engine, which has no clock, against the referee that ticks through every cycle."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.simulator.fpga.graph import Fifo, Graph, Loop, Mark, Memory, Port, Process, Step
from moesaic.simulator.fpga.plain import plain
from moesaic.simulator.fpga.run import simulate

few = st.integers(1, 3)
chance = st.integers(0, 3).map(lambda n: n == 0)
SIDES = {"reads": "peeks", "writes": "reserves"}


class Drawing:
    """A random graph: FIFOs between any two ends, and what each process moves in a round."""

    def __init__(self, draw, memories):
        self.draw = draw
        self.processes = draw(st.integers(2, 4))
        self.rounds = draw(st.integers(1, 4))
        self.calm = draw(chance) or draw(st.booleans())  # nothing that is likely to stand still
        self.depths = []
        self.moves = [[] for _ in range(self.processes)]  # (side, FIFO, tokens) of a round
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
        step = {side: {} for side in (*SIDES, *SIDES.values())}
        for side, name, tokens in pieces:
            if name in step[side]:
                yield Step(**{side: {name: tokens}})
                continue
            times = tokens if self.draw(chance) else 1
            if times > 1:
                yield Loop(times, (Step(**{side: {name: 1}}),))
                continue
            step[side][name] = tokens
            if self.draw(chance) and int(name[1:]) < len(self.depths):
                least = self.depths[int(name[1:])]
                step[SIDES[side]][name] = min(self.draw(few), least or 3)
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


@settings(max_examples=300, deadline=None)
@given(graphs())
def test_the_engine_equals_the_referee_in_every_number(graph):
    assert simulate(graph, spans=True) == plain(graph, spans=True)
