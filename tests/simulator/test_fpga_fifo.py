"""FIFO sizing: the smallest depths, held against every vector of depths there is."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.simulator.fpga.fifo import faults, smallest_depths
from moesaic.simulator.fpga.graph import (
    Fifo,
    Graph,
    Loop,
    Memory,
    Port,
    Process,
    Step,
    steps_of,
)
from moesaic.simulator.fpga.run import simulate

few = st.integers(1, 2)


def step(draw, side, fifo):
    """Moves one token; may reserve or peek at two."""
    also = {"writes": "reserves", "reads": "peeks"}[side]
    more = {also: {fifo: 2}} if draw(st.integers(0, 9)) == 0 else {}
    asked: dict[str, Any] = {side: {fifo: 1}} | more
    return Step(**asked, interval=draw(few))


@st.composite
def graphs(draw):
    """Processes in a row, FIFOs from earlier to later ones, moved in pieces in any order."""
    count, rounds = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    moves: list[list[tuple[str, str]]] = [[] for _ in range(count)]
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
            least |= {**one.reserves, **one.peeks}
    tops = [(least[name], fifo.peak + 1) for name, fifo in free.fifos.items()]
    costs = []
    for depths in itertools.product(*(range(least, top + 1) for least, top in tops)):
        run = simulate(graph, depths=dict(zip(free.fifos, depths, strict=True)))
        if run.deadlock is None and run.cycles <= limit:
            bits = sum(fifo.bits * depth for fifo, depth in zip(graph.fifos, depths, strict=True))
            costs.append((bits, sum(depths)))
    return min(costs)


@settings(max_examples=30, deadline=None)
@given(graphs(), st.sampled_from([None, 1.0, 1.2, 1.5]))
def test_no_vector_of_depths_is_cheaper(graph, slack):
    free = simulate(graph)
    assume(free.deadlock is None)
    assume(math.prod(fifo.peak + 1 for fifo in free.fifos.values()) < 1000)
    limit = None if slack is None else int(free.cycles * slack)
    found = smallest_depths(graph, limit, safe=slack is None)
    assert found.proven
    assert faults(graph, found) == []
    expected = brute_force(graph, 10**9 if limit is None else limit)
    assert (found.bits, sum(found.depths.values())) == expected
    assert found.least_bits == found.bits


def rows(length):
    """A row of scores before the maximum of the row, which the reader needs first."""
    qk = (Loop(3, (Step(writes={"scores": 1}, times=length), Step(writes={"row_max": 1}))),)
    av = (Loop(3, (Step(reads={"row_max": 1}), Step(reads={"scores": 1}, times=length))),)
    return Graph(
        fifos=(Fifo(name="scores", depth=2, bits=8), Fifo(name="row_max", depth=2, bits=32)),
        processes=(Process(name="qk", program=qk), Process(name="av", program=av)),
    )


def test_scores_must_hold_a_row_to_end_and_more_to_keep_the_pace():
    safe = smallest_depths(rows(64), safe=True)
    assert safe.depths == {"scores": 64, "row_max": 1}
    assert safe.refuted == ({"scores": 63, "row_max": None},)
    assert (safe.proven, safe.limit, safe.bits) == (True, None, 64 * 8 + 32)
    fast = smallest_depths(rows(64))
    assert fast.limit == fast.cycles == simulate(rows(64), depths={"scores": None}).cycles
    assert fast.depths["scores"] > 64
    assert faults(rows(64), fast) == []


def test_room_in_a_row_of_fifos_goes_where_a_token_is_cheapest():
    """What the last reader cannot take for 20 cycles stands in either of two FIFOs."""
    first = (Step(writes={"wide": 1, "late": 1}), Step(writes={"wide": 1}, times=19))
    middle = (Step(reads={"wide": 1}, writes={"thin": 1}, times=20),)
    last = (Step(reads={"late": 1}, interval=30), Step(reads={"thin": 1}, times=20))
    graph = Graph(
        fifos=tuple(
            Fifo(name=n, depth=None, bits=b) for n, b in (("wide", 9), ("thin", 2), ("late", 1))
        ),
        processes=(
            Process(name="first", program=first),
            Process(name="middle", program=middle),
            Process(name="last", program=last),
        ),
    )
    found = smallest_depths(graph)
    assert found.proven
    assert found.depths["wide"] <= 2
    assert found.depths["thin"] >= found.lower["thin"]
    assert faults(graph, found) == []


def test_only_the_named_fifos_are_sized():
    found = smallest_depths(rows(8), fifos=["scores"], safe=True)
    assert found.depths == {"scores": 8}


def test_faults_of_a_claim_are_named():
    found = smallest_depths(rows(8), safe=True)
    wider = msgspec.structs.replace(found, depths={"scores": 9, "row_max": 1})
    assert faults(rows(8), wider) == ["scores could be 8 deep"]
    thinner = msgspec.structs.replace(found, depths={"scores": 7, "row_max": 1})
    assert faults(rows(8), thinner) == ["the depths fail"]
    easier = msgspec.structs.replace(found, refuted=({"scores": 8, "row_max": 1},))
    assert faults(rows(8), easier) == ["{'scores': 8, 'row_max': 1} does not fail"]


def test_few_runs_give_depths_that_work_and_a_bound():
    found = smallest_depths(rows(64), safe=True, most_runs=6)
    assert not found.proven
    assert "the limit of 6 runs" in found.proof
    assert simulate(rows(64), depths=found.depths).deadlock is None
    assert found.least_bits <= 64 * 8 + 32 <= found.bits


def test_what_no_depth_can_help_is_refused():
    graph = rows(8)
    processes = (_without_max(), graph.processes[1])
    with pytest.raises(BadInput, match="however deep these FIFOs are: deadlock in cycle"):
        smallest_depths(msgspec.structs.replace(graph, processes=processes))
    with pytest.raises(BadInput, match="cycles with FIFOs without bound"):
        smallest_depths(graph, 3)
    with pytest.raises(BadInput, match="is no FIFO of the graph"):
        smallest_depths(graph, fifos=["score"])


def _without_max():
    """A writer that leaves out a maximum."""
    row = Step(writes={"scores": 1}, times=24)
    return Process(name="qk", program=(row, Step(writes={"row_max": 1}, times=2)))


def test_ports_in_turn_leave_the_pace_unproven_but_not_the_end():
    ports = tuple(
        Port(name=n, request=f"ask{n}", data=f"data{n}", bursts=((4, 3),)) for n in ("a", "b")
    )
    reader = (
        Loop(
            3, (Step(writes={"aska": 1, "askb": 1}), Step(reads={"dataa": 1, "datab": 1}, times=4))
        ),
    )
    graph = Graph(
        fifos=tuple(Fifo(name=k + n, depth=None) for n in ("a", "b") for k in ("ask", "data")),
        processes=(Process(name="reader", program=reader),),
        memories=(Memory(name="ddr", ports=ports, latency=5),),
    )
    safe, fast = smallest_depths(graph, safe=True), smallest_depths(graph)
    assert safe.proven
    assert safe.depths == {"aska": 1, "dataa": 4, "askb": 1, "datab": 4}
    assert not fast.proven
    assert "ports in turn at ddr" in fast.proof
    assert fast.cycles <= simulate(graph).cycles
