"""FIFO sizing: the smallest depths, held against every vector of depths there is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.fpga.fifo import faults, smallest_depths
from moesaic.simulator.fpga.graph import Fifo, Graph, Loop, Memory, Port, Process, Step, steps_of
from moesaic.simulator.fpga.run import simulate

few = st.integers(1, 2)


def step(draw, side, fifo):
    """Moves one token; may reserve or peek at two."""
    also = {"writes": "reserves", "reads": "peeks"}[side]
    more = {also: {fifo: 2}} if draw(st.integers(0, 9)) == 0 else {}
    return Step(**{side: {fifo: 1}}, **more, interval=draw(few))


@st.composite
def graphs(draw):
    """Processes in a row, FIFOs from earlier to later ones, moved in pieces in any order."""
    count, rounds = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    moves = [[] for _ in range(count)]
    bits = draw(st.lists(st.sampled_from([1, 8, 9]), min_size=1, max_size=4))
    for i in range(len(bits)):
        writer = draw(st.integers(0, count - 2))
        reader, tokens = draw(st.integers(writer + 1, count - 1)), draw(st.integers(1, 4))
        moves[writer] += [("writes", f"f{i}")] * tokens
        moves[reader] += [("reads", f"f{i}")] * tokens
    processes = []
    for i, pieces in enumerate(moves):
        body = tuple(step(draw, *piece) for piece in draw(st.permutations(pieces)))
        program, latency = (Loop(rounds, body),), draw(st.integers(0, 3))
        processes.append(Process(name=f"p{i}", program=program, latency=latency))
    fifos = tuple(Fifo(name=f"f{i}", depth=None, bits=n) for i, n in enumerate(bits))
    return Graph(fifos=fifos, processes=tuple(processes))


def brute_force(graph, limit):
    """The least cost of all vectors that end within the limit, by trying them all."""
    free = simulate(graph)
    least = dict.fromkeys(free.fifos, 1)
    for process in graph.processes:
        for one, _ in steps_of(process.program):
            least |= one.reserves | one.peeks
    tops = [(least[name], fifo.peak + 1) for name, fifo in free.fifos.items()]
    costs = []
    for depths in itertools.product(*(range(least, top + 1) for least, top in tops)):
        run = simulate(graph, depths=dict(zip(free.fifos, depths, strict=True)))
        if run.deadlock is None and run.cycles <= limit:
            bits = sum(fifo.bits * depth for fifo, depth in zip(graph.fifos, depths, strict=True))
            costs.append((bits, sum(depths)))
    return min(costs)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([None, 1.0, 1.2, 1.5]))
def test_no_vector_of_depths_is_cheaper(graph, slack):
    free = simulate(graph)
    assume(free.deadlock is None)
    limit = None if slack is None else int(free.cycles * slack)
    found = smallest_depths(graph, limit, safe=slack is None)
    assert found.proven
    assert faults(graph, found) == []
    expected = brute_force(graph, 10**9 if limit is None else limit)
    assert (found.bits, sum(found.depths.values())) == expected
    assert found.least_bits == found.bits
