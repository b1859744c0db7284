"""Trials of FIFO depths: does a graph end in time with them, and if not, which must be deeper?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ...base import BadInput
from .flat import MOST_CYCLES, flatten
from .graph import Fifo, Graph, steps_of
from .run import Said, say, stand_still

Vector: TypeAlias = "tuple[int | None, ...]"
"""A depth for each FIFO that is sized; None: without bound."""

Clause: TypeAlias = "dict[int, int]"
"""FIFO (its place in the vector) -> least depth: one of these, or more, must hold."""


class OutOfRuns(Exception):
    """As many runs as were allowed were made."""


class Trials:
    """Runs of one graph with other depths of some FIFOs. `limit`: cycles that are in time.

    least: what a FIFO's largest step or burst needs; enough: as good as no bound; peaks: what it
    takes to change nothing.
    """

    def __init__(self, graph: Graph, sized: Sequence[Fifo], most_runs: int) -> None:
        self.sized, self.most_runs, self.runs = sized, most_runs, 0
        self.flat = flatten(graph)
        self.place = {fifo.name: i for i, fifo in enumerate(sized)}
        self.limit = MOST_CYCLES
        self.unbounded: Vector = (None,) * len(sized)
        least = _least(graph, self.flat.needs)
        said = self.say(self.unbounded)
        if at := stand_still(self.flat, said, self.named(self.unbounded)):
            raise BadInput(f"does not end, however deep these FIFOs are: {at}")
        self.fastest = said.cycles
        rows = {fifo.name: row for fifo, row in zip(graph.fifos, said.fifos, strict=True)}
        spare = _spare(graph)
        self.least = [least[fifo.name] for fifo in sized]
        self.enough = [max(least[f.name], rows[f.name][0] + spare[f.name]) for f in sized]
        self.peaks = [max(least[f.name], rows[f.name][1] + spare[f.name]) for f in sized]

    def named(self, vector: Vector) -> dict[str, int | None]:
        return {fifo.name: depth for fifo, depth in zip(self.sized, vector, strict=True)}

    def say(self, vector: Vector, *, traced: bool = False) -> Said:
        if self.runs >= self.most_runs:
            raise OutOfRuns
        self.runs += 1
        return say(self.flat, self.named(vector), most_cycles=self.limit, traced=traced)

    def fails(self, vector: Vector) -> bool:
        said = self.say(vector)
        return said.late or stand_still(self.flat, said, self.named(vector)) is not None

    def clause(self, vector: Vector) -> Clause | None:
        """What must be deeper than in this vector; None: it ends in time.

        In a deadlock, a FIFO on the cycle of waits that is full: as long as none of them is deeper
        nobody on the cycle can be the first to go on. In a run that is too slow, a FIFO whose want
        of room lies on a longest path: as long as none is deeper that path is there.
        """
        said = self.say(vector, traced=True)
        if said.late:
            path = {self.flat.graph.fifos[i].name for i in said.path}
            return {i: (vector[i] or 0) + 1 for name, i in self.place.items() if name in path}
        at = stand_still(self.flat, said, self.named(vector))
        if at is None:
            return None
        waits = at.waits[-1:] if at.ended else at.waits
        return {
            self.place[w.fifo]: w.held + w.needs for w in waits if w.room and w.fifo in self.place
        }

    def strengthened(self, clause: Clause) -> tuple[Clause, Vector]:
        """The clause with as few FIFOs and as great depths as simulation lets it have, and the
        vector that it refutes. FIFOs of few bits go first: a search comes along them."""
        below = list(self.unbounded)
        for i, depth in clause.items():
            below[i] = depth - 1
        for i in sorted(clause, key=lambda i: self.sized[i].bits):
            failing = below[i]
            below[i] = None
            if not self.fails(tuple(below)):
                below[i] = failing
                below[i] = self.deepest_failing(below, i)
        return {i: depth + 1 for i, depth in enumerate(below) if depth is not None}, tuple(below)

    def deepest_failing(self, vector: Sequence[int | None], i: int) -> int:
        """The greatest depth of FIFO i that fails, where the vector's own does and `enough` not."""
        low = vector[i] or 0

        def fails(depth: int) -> bool:
            return self.fails((*vector[:i], depth, *vector[i + 1 :]))

        stride = 1
        while low + stride < self.enough[i] and fails(low + stride):
            low, stride = low + stride, 2 * stride
        return last_true(fails, low, min(low + stride, self.enough[i]))


def last_true(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The greatest number from low to high - 1 for which it holds; it does for low, not for high,
    and changes once."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _least(graph: Graph, needs: Sequence[tuple[str, bool, int]]) -> Counter[str]:
    """What each FIFO must hold for its largest step or burst."""
    least = Counter({fifo.name: 1 for fifo in graph.fifos})
    bursts = [(p.data, False, n) for m in graph.memories for p in m.ports for n, k in p.bursts if k]
    for fifo, _, tokens in (*needs, *bursts):
        least[fifo] = max(least[fifo], tokens)
    return least


def _spare(graph: Graph) -> Counter[str]:
    """Room beside what is written that the steps of a FIFO's writer ask for."""
    spare: Counter[str] = Counter()
    for process in graph.processes:
        for step, _ in steps_of(process.program):
            for fifo, tokens in step.reserves.items():
                spare[fifo] = max(spare[fifo], tokens - step.writes.get(fifo, 0))
    return spare
