"""Easing the ranks above a target, in few moves: csrc/anneal/ease.cpp and the same in Python."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ... import _core

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Held = NDArray[np.int32]

MOST_STEPS = 1000
"""Steps of a layer: 288 slots on 32 ranks never needed 100."""
SLACK = 0.02
"""What load below the target weighs against load above it. Measured over drifts of 10, 30 and 100 %
at 58 x 256 x 288: 10 % fewer moves than with 0, and the same from 0.01 to 0.2."""


class Eased(msgspec.Struct, frozen=True):
    """held: `[layers, slots]`. After each step, the first before any: the heaviest rank's load and
    the experts moved, `[layers, steps + 1]`; a layer stays as it is after its last step."""

    held: Held
    heaviest: Floats
    moved: Ints
    steps: Ints


def eased(
    loads: Floats,
    held: Held,
    rank_of: Held,
    ranks: int,
    targets: Floats,
    most_steps: Ints | None = None,
    *,
    priced: bool,
) -> Eased:
    """Every layer towards its target: swaps, and slots given to other copies.

    loads `[layers, experts]`, held `[layers, slots]`, rank_of `[slots]`, targets `[layers]`.
    priced: gain is weighed by the experts that move; otherwise balance is all.
    """
    most = np.full(len(loads), MOST_STEPS) if most_steps is None else most_steps
    out, heaviest, moved, steps = _core.ease_ranks(
        np.ascontiguousarray(loads), held, rank_of, ranks, targets, most, priced
    )
    width = int(steps.max(initial=0)) + 1
    last = np.minimum(np.arange(width), steps[:, None])
    return Eased(
        out,
        np.take_along_axis(heaviest, last, 1),
        np.take_along_axis(moved, last, 1),
        steps,
    )


class Reference:
    """One layer, as the compiled one: the same steps in the same order, bit by bit."""

    def __init__(
        self, loads: Floats, held: Held, rank_of: Held, ranks: int, target: float, *, priced: bool
    ) -> None:
        self.loads, self.held, self.rank_of = loads.tolist(), held.tolist(), rank_of.tolist()
        self.target, self.priced, self.moved = target, priced, 0
        self.where: list[list[int]] = [[] for _ in self.loads]
        self.on: list[list[int]] = [[] for _ in range(ranks)]
        for slot, expert in enumerate(self.held):
            self.where[expert].append(slot)
            self.on[self.rank_of[slot]].append(slot)
        self.was = [{self.held[slot] for slot in slots} for slots in self.on]
        self.load = [0.0] * ranks
        for slot, expert in enumerate(self.held):
            self.load[self.rank_of[slot]] += self.share(expert)
        top = max(self.load)
        self.noise = 1e-12 * (top if priced else top * top)

    def run(self, most_steps: int = MOST_STEPS) -> list[tuple[float, int]]:
        """(heaviest load, experts moved) after each step."""
        path = [(max(self.load), self.moved)]
        while len(path) <= most_steps and self.step():
            path.append((max(self.load), self.moved))
        return path

    def step(self) -> bool:
        above = [rank for rank, load in enumerate(self.load) if load > self.target]
        for heavy in sorted(above, key=lambda rank: -self.load[rank]):
            best: tuple[float, int, int, int] = (0.0, -1, -1, -1)
            for slot, other, expert in self.steps(heavy):
                gain, cost = self.tried(slot, other, expert)
                worth = gain / max(cost, 0.5) if self.priced else gain
                if gain > self.noise and worth > best[0]:
                    best = (worth, slot, other, expert)
            if best[1] >= 0:
                self.make(*best[1:])
                return True
        return False

    def steps(self, heavy: int) -> list[tuple[int, int, int]]:
        """(slot, other slot or -1, expert that comes or -1): swaps, copies here, copies there."""
        slots, experts = range(len(self.held)), range(len(self.loads))
        mine = self.on[heavy]
        swaps = [(s, o, -1) for s in mine for o in slots if self.may_swap(s, o)]
        spare = [s for s in slots if len(self.where[self.held[s]]) > 1]
        here = [
            (s, -1, e)
            for s in mine
            if s in spare
            for e in experts
            if self.loads[e] / (len(self.where[e]) + 1) < self.share(self.held[s])
        ]
        there = [(s, -1, self.held[m]) for s in spare if self.rank_of[s] != heavy for m in mine]
        return swaps + [step for step in here + there if not self.holds(step[0], step[2])]

    def may_swap(self, slot: int, other: int) -> bool:
        a, b = self.held[slot], self.held[other]
        gives = self.share(a) - self.share(b) > 0
        return gives and not self.holds(other, a) and not self.holds(slot, b)

    def holds(self, slot: int, expert: int) -> bool:
        """Whether the rank of the slot holds the expert."""
        return any(self.held[s] == expert for s in self.on[self.rank_of[slot]])

    def share(self, expert: int) -> float:
        return float(self.loads[expert] / len(self.where[expert]))

    def strain(self, load: float) -> float:
        over = max(0.0, load - self.target)
        return over + SLACK * load * load / self.target if self.priced else over * over

    def cost(self, slot: int, comes: int) -> int:
        rank, out = self.rank_of[slot], self.held[slot]
        once = sum(self.held[s] == out for s in self.on[rank]) == 1
        return (comes not in self.was[rank]) - (once and out not in self.was[rank])

    def tried(self, slot: int, other: int, expert: int) -> tuple[float, int]:
        """(strain taken off, experts to move)."""
        gain = 0.0
        for rank, change in self.changes(slot, other, expert).items():
            gain += self.strain(self.load[rank]) - self.strain(self.load[rank] + change)
        if other < 0:
            return gain, self.cost(slot, expert)
        return gain, self.cost(slot, self.held[other]) + self.cost(other, self.held[slot])

    def changes(self, slot: int, other: int, expert: int) -> dict[int, float]:
        out = self.held[slot]
        if other >= 0:
            moved = self.share(out) - self.share(self.held[other])
            return {self.rank_of[slot]: -moved, self.rank_of[other]: moved}
        then = self.loads[expert] / (len(self.where[expert]) + 1)
        grown = self.loads[out] / (len(self.where[out]) - 1)
        change = {self.rank_of[slot]: then - self.share(out)}
        for s in self.where[expert]:
            rank = self.rank_of[s]
            change[rank] = change.get(rank, 0.0) + (then - self.share(expert))
        for s in self.where[out]:
            if s != slot:
                rank = self.rank_of[s]
                change[rank] = change.get(rank, 0.0) + (grown - self.share(out))
        return change

    def make(self, slot: int, other: int, expert: int) -> None:
        self.moved += self.tried(slot, other, expert)[1]
        for rank, change in self.changes(slot, other, expert).items():
            self.load[rank] += change
        comes, leaves = (expert, -1) if other < 0 else (self.held[other], self.held[slot])
        self.put(slot, comes)
        if other >= 0:
            self.put(other, leaves)

    def put(self, slot: int, expert: int) -> None:
        self.where[self.held[slot]].remove(slot)
        self.held[slot] = expert
        self.where[expert].append(slot)
