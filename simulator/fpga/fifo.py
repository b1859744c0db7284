"""The smallest FIFOs with which a graph ends in time, proven.

Between processes that wait for nothing but one another deeper FIFOs are never slower: every time is
a maximum of sums of earlier times, and room only takes terms away (derived: a longest path with
fewer edges). So a vector of depths that fails refutes all that are nowhere deeper: a clause, "one
of these FIFOs must be deeper". The cheapest vector that the clauses leave is simulated; it fails
and gives another clause, or it is the smallest.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from ...base import BadInput
from .flat import MOST_CYCLES
from .graph import Graph
from .trials import Clause, OutOfRuns, Trials, Vector, last_true

MOST_RUNS, MOST_VECTORS = 20_000, 1_000_000
INTERRUPTED = "it was interrupted"

Solid: TypeAlias = "tuple[int, ...]"
Cost: TypeAlias = "tuple[int, int]"
"""Bits, then tokens."""


class Depths(msgspec.Struct, frozen=True, kw_only=True):
    """Depths with which a graph ends within `limit` cycles (None: ends at all), in `cycles`.

    bits: of these FIFOs; none have fewer, nor as many with fewer tokens, if `proven`; else at least
    `least_bits`. lower: of each FIFO alone, the others without bound. refuted: vectors (None:
    without bound) that fail; all that is cheaper is nowhere deeper than one of them. runs: made.
    """

    depths: dict[str, int]
    bits: int
    cycles: int
    limit: int | None
    lower: dict[str, int]
    least_bits: int
    refuted: tuple[dict[str, int | None], ...]
    proven: bool
    proof: str
    runs: int

    @property
    def interrupted(self) -> bool:
        return INTERRUPTED in self.proof


def smallest_depths(
    graph: Graph,
    cycles: int | None = None,
    fifos: Iterable[str] | None = None,
    *,
    safe: bool = False,
    most_runs: int = MOST_RUNS,
    say: Callable[[str], None] = lambda _: None,
) -> Depths:
    """The depths of fewest bits, then fewest tokens, with which the graph ends within `cycles`.

    cycles None: as fast as without bounds; safe: that it ends, however late. fifos: those to size;
    the others stay as they are. After most_runs, or when interrupted, the best so far.
    """
    names = {fifo.name for fifo in graph.fifos}
    chosen = names if fifos is None else set(fifos)
    if most_runs < 1:
        raise BadInput("must be at least 1", key="most_runs", value=most_runs)
    if cycles is not None and not 0 < cycles <= MOST_CYCLES:
        raise BadInput(f"must lie between 1 and {MOST_CYCLES}", key="cycles", value=cycles)
    if cycles is not None and safe:
        raise BadInput("asks that the graph ends at all, and within cycles: choose one", key="safe")
    free = graph.with_depths(dict.fromkeys(chosen))
    sized = [fifo for fifo in graph.fifos if fifo.name in chosen]
    trials = Trials(free, sized, most_runs)
    if not safe:
        trials.limit = trials.fastest if cycles is None else cycles
    shared = [m.name for m in graph.memories if len(m.ports) > 1]
    best = _first(trials, [fifo.depth for fifo in sized])
    if best is None:
        raise BadInput(
            f"takes {trials.fastest} cycles with FIFOs without bound", key="cycles", value=cycles
        )
    search = _Search(trials, best, None if safe or not shared else shared[0])
    search.run(say)
    return search.depths(None if safe else trials.limit)


def _first(trials: Trials, own: Sequence[int | None]) -> Solid | None:
    """Depths that are in time: the graph's own, where they cost less than those that change
    nothing (where ports take turns, a shallower FIFO may even be what is in time); or None."""
    peaks = tuple(trials.peaks)
    vector = tuple(peak if n is None else n for n, peak in zip(own, peaks, strict=True))
    late = trials.fastest > trials.limit
    bits = [fifo.bits for fifo in trials.sized]
    if late or _cost(vector, bits) < _cost(peaks, bits):
        with suppress(OutOfRuns):
            if not trials.fails(vector):
                return vector
    return None if late else peaks


def _cost(vector: Solid, bits: Sequence[int]) -> Cost:
    return sum(map(int.__mul__, vector, bits)), sum(vector)


class _Search:
    """best: depths that are in time. shared: a memory whose ports change turns, so that nothing can
    be proven; or None."""

    def __init__(self, trials: Trials, best: Solid, shared: str | None) -> None:
        self.trials, self.shared = trials, shared
        self.bits = [fifo.bits for fifo in trials.sized]
        self.best = best
        self.lower = list(trials.least)
        self.clauses: list[Clause] = []
        self.refuted: list[Vector] = []
        self.bound: Cost = self.cost(tuple(trials.least))
        self.why = ""

    def cost(self, vector: Solid) -> Cost:
        return _cost(vector, self.bits)

    def run(self, say: Callable[[str], None]) -> None:
        try:
            self.bound_alone(say)
            lower = tuple(self.lower)
            if self.cost(lower) <= self.cost(self.best) and not self.trials.fails(lower):
                self.best = lower
                return
            self.shrink(say)
            if self.shared is None:
                self.climb(say)
        except OutOfRuns:
            self.why = f"the limit of {self.trials.most_runs} runs was reached"
        except KeyboardInterrupt:
            self.why = INTERRUPTED

    def bound_alone(self, say: Callable[[str], None]) -> None:
        """The least depth of each FIFO when all others are without bound."""
        for i, fifo in enumerate(self.trials.sized):
            alone = [*self.trials.unbounded]
            alone[i] = self.trials.least[i]
            if self.trials.fails(tuple(alone)):
                deepest = self.trials.deepest_failing(alone, i)
                alone[i] = deepest
                self.lower[i] = deepest + 1
                self.refuted.append(tuple(alone))
                say(f"{fifo.name} alone needs {self.lower[i]}")
        if self.shared is None:
            self.bound = self.cost(tuple(self.lower))

    def shrink(self, say: Callable[[str], None]) -> None:
        """Depths that end in time and of which none can be less, from the best so far."""
        widest = sorted(range(len(self.bits)), key=lambda i: -self.bits[i] * self.best[i])
        for i in widest:
            self.best = (*self.best[:i], self.shallowest(self.best, i), *self.best[i + 1 :])
        say(f"{self.cost(self.best)[0]} bits are enough")

    def shallowest(self, vector: Solid, i: int) -> int:
        """The least depth of FIFO i with which a vector that is in time still is."""

        def passes(minus: int) -> bool:
            return not self.trials.fails((*vector[:i], -minus, *vector[i + 1 :]))

        low = -self.lower[i]
        return -low if passes(low) else -last_true(passes, -vector[i], low)

    def climb(self, say: Callable[[str], None]) -> None:
        """Vectors by what they cost at least, the cheapest first, until one is the smallest."""
        start = tuple(self.lower)
        heap, seen = [(self.at_least(start), start)], {start}
        while heap:
            cost, vector = heapq.heappop(heap)
            now = self.at_least(vector)
            if now > cost:
                heapq.heappush(heap, (now, vector))
                continue
            if cost > self.bound:
                self.bound = cost
                say(f"at least {cost[0]} bits, {self.trials.runs} runs")
            if cost >= self.cost(self.best):
                break
            if len(seen) > MOST_VECTORS:
                self.why = f"the limit of {MOST_VECTORS} vectors was reached"
                return
            clause = self.violated(vector)
            if clause is None:
                self.best = vector
                break
            for i, depth in clause.items():
                deeper = (*vector[:i], max(vector[i], depth), *vector[i + 1 :])
                if deeper not in seen:
                    seen.add(deeper)
                    heapq.heappush(heap, (self.at_least(deeper), deeper))
        self.bound = self.cost(self.best)

    def open_clauses(self, vector: Solid) -> Iterable[Clause]:
        return (
            clause
            for clause in self.clauses
            if all(vector[i] < depth for i, depth in clause.items())
        )

    def violated(self, vector: Solid) -> Clause | None:
        """A clause that the vector does not meet, by simulation if none is known."""
        for clause in self.open_clauses(vector):
            return clause
        found = self.trials.clause(vector)
        if found is None:
            return None
        clause, refuted = self.trials.strengthened(found)
        self.clauses.append(clause)
        self.refuted.append(refuted)
        return clause

    def at_least(self, vector: Solid) -> Cost:
        """What all vectors cost that are nowhere less deep and meet the clauses: the cheapest way
        to meet each of those that share no FIFO."""
        used: set[int] = set()
        bits, tokens = self.cost(vector)
        for clause in self.open_clauses(vector):
            if used.isdisjoint(clause):
                used |= clause.keys()
                more = [(self.bits[i] * (n - vector[i]), n - vector[i]) for i, n in clause.items()]
                bits += min(more)[0]
                tokens += min(n for _, n in more)
        return bits, tokens

    def depths(self, limit: int | None) -> Depths:
        runs = self.trials.runs
        self.trials.most_runs = runs + 1  # one more, to tell the cycles
        cycles = self.trials.say(self.best).cycles
        proven = self.shared is None and not self.why
        names = [fifo.name for fifo in self.trials.sized]
        return Depths(
            depths=dict(zip(names, self.best, strict=True)),
            bits=self.cost(self.best)[0],
            cycles=cycles,
            limit=limit,
            lower=dict(zip(names, self.lower, strict=True)),
            least_bits=self.bound[0],
            refuted=tuple(self.trials.named(vector) for vector in self.refuted),
            proven=proven,
            proof=self.proof(proven),
            runs=runs,
        )

    def proof(self, proven: bool) -> str:
        if proven:
            count = len(self.refuted)
            return f"proven: no cheaper vector is deeper somewhere than each of {count} that fail"
        why = [self.why] if self.why else []
        if self.shared is not None:
            why.append(f"with ports in turn at {self.shared} a deeper FIFO may be slower")
        else:
            why.append(f"at least {self.bound[0]} bits")
        return f"not proven: {'; '.join(why)}"


def faults(graph: Graph, found: Depths) -> list[str]:
    """Checks a result by simulation alone: what of it does not hold; nothing if all does.

    The depths end in time; one less of any fails; each refuted vector fails.
    """
    sized = [fifo for fifo in graph.fifos if fifo.name in found.depths]
    trials = Trials(graph.with_depths(dict.fromkeys(found.depths)), sized, 1 << 62)
    if found.limit is not None:
        trials.limit = found.limit
    depths = tuple(found.depths[fifo.name] for fifo in sized)
    wrong = ["the depths fail"] if trials.fails(depths) else []
    for i, fifo in enumerate(sized):
        less = (*depths[:i], depths[i] - 1, *depths[i + 1 :])
        if depths[i] > trials.least[i] and not trials.fails(less):
            wrong.append(f"{fifo.name} could be {depths[i] - 1} deep")
    for vector in found.refuted:
        if not trials.fails(tuple(vector[fifo.name] for fifo in sized)):
            wrong.append(f"{vector} does not fail")
    return wrong
