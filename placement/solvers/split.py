"""Homes of experts among unequal units, or among the memory spaces that units take turns with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product
from math import comb, prod

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ..bounds.uneven import UnevenProof, prove, proven_s
from ..placement import ROUNDING
from ..uneven import Homes, Uneven

Floats = NDArray[np.float64]

MOST_TRIED = 20_000
"""Homes of a layer that are all tried, which proves the best of them."""
ROUNDS = 8
"""Passes over all experts in which each may still swap or move."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Homes `[layers, experts]`, their expected makespan and what none can go below, `[layers]`.

    proofs: of each layer; None where all homes were tried.
    """

    homes: Homes
    method: str
    expected_s: Floats
    bound_s: Floats
    proofs: tuple[UnevenProof | None, ...]

    @property
    def gap(self) -> float:
        """All layers' expected makespan over their bounds, minus one."""
        return float(self.expected_s.sum() / self.bound_s.sum() - 1) if self.bound_s.sum() else 0.0

    @property
    def proven(self) -> bool:
        return bool((self.expected_s <= self.bound_s * (1 + ROUNDING)).all())


def split(problem: Uneven, method: str = "search", seed: int = 0) -> Split:
    """The homes that `method`, a name in SPLITS, finds layer by layer, and a bound on all homes."""
    if method not in SPLITS:
        raise unknown("way to split", method, SPLITS)
    if seed < 0:
        raise BadInput("must not be negative", key="seed", value=seed)
    draw = np.random.default_rng(seed)
    layers = range(len(problem.layers))
    homes = np.array([SPLITS[method](problem, layer, draw) for layer in layers])
    problem.check(homes)
    few = _count(problem) <= MOST_TRIED
    proofs = tuple(None if few else prove(problem, layer) for layer in layers)
    bounds = [
        _best_of_all(problem, layer)[1] if proof is None else proven_s(problem, layer, proof)
        for layer, proof in enumerate(proofs)
    ]
    return Split(
        homes=homes,
        method=method,
        expected_s=problem.expected_s(homes),
        bound_s=np.array(bounds),
        proofs=proofs,
    )


def round_robin(problem: Uneven, layer: int, draw: np.random.Generator) -> Homes:
    """One expert after the other to the next group with room: Duplex's own layout of spaces."""
    return _dealt(problem, np.arange(problem.experts))


def at_random(problem: Uneven, layer: int, draw: np.random.Generator) -> Homes:
    """Round-robin of the experts in any order."""
    return _dealt(problem, draw.permutation(problem.experts))


def hot_and_cold(problem: Uneven, layer: int, draw: np.random.Generator) -> Homes:
    """Runs of experts in order of their seconds on the last unit, which is meant for few tokens:
    the busiest to the first group. Two units are cut where it is best, else runs are equal."""
    order = np.argsort(-problem.seconds[-1, :, layer].mean(axis=0), kind="stable")
    homes = np.empty((0, problem.experts), np.int64)
    for sizes in _cuts(problem):
        row = np.empty((1, problem.experts), np.int64)
        row[0, order] = np.repeat(np.arange(problem.groups), sizes)
        homes = np.concatenate([homes, row])
    return np.asarray(homes[_expected(problem, layer, homes).argmin()])


def search(problem: Uneven, layer: int, draw: np.random.Generator) -> Homes:
    """All homes of a small layer; else the better of two starts, each bettered by swaps and moves
    of one expert at a time until none helps."""
    if _count(problem) <= MOST_TRIED:
        return _best_of_all(problem, layer)[0]
    starts = [start(problem, layer, draw) for start in (hot_and_cold, round_robin)]
    ends = np.array([_bettered(problem, layer, homes) for homes in starts])
    return np.asarray(ends[_expected(problem, layer, ends).argmin()])


SPLITS: dict[str, Callable[[Uneven, int, np.random.Generator], Homes]] = {
    "round-robin": round_robin,
    "random": at_random,
    "hot-and-cold": hot_and_cold,
    "search": search,
}
"""(problem, layer, random numbers) -> homes of that layer."""


def _expected(problem: Uneven, layer: int, homes: Homes) -> Floats:
    """Of several homes `[homes, experts]` of a layer."""
    return np.asarray(problem.makespans(problem.sums(layer, homes)).mean(axis=-1))


def _dealt(problem: Uneven, order: NDArray[np.int64]) -> Homes:
    room = problem.slots.copy()
    homes = np.empty(problem.experts, np.int64)
    group = -1
    for expert in order:
        group = (group + 1) % problem.groups
        while not room[group]:
            group = (group + 1) % problem.groups
        homes[expert] = group
        room[group] -= 1
    return homes


def _cuts(problem: Uneven) -> Iterator[tuple[int, ...]]:
    """Sizes of the runs: every one that two groups have room for, else as equal as slots allow."""
    experts, slots = problem.experts, problem.slots.tolist()
    if problem.groups == 2:
        for first in range(max(0, experts - slots[1]), min(experts, slots[0]) + 1):
            yield first, experts - first
    else:
        dealt = np.bincount(_dealt(problem, np.arange(experts)), minlength=problem.groups)
        yield tuple(dealt.tolist())


def _bettered(problem: Uneven, layer: int, homes: Homes) -> Homes:
    """Each expert in turn takes its best swap or move; ends when a pass changes nothing."""
    homes = homes.copy()
    sums = problem.sums(layer, homes)
    best = float(problem.makespans(sums).mean())
    for _ in range(ROUNDS):
        before = best
        for expert in range(problem.experts):
            others, groups = _exchanges(problem, homes, expert)
            tried = _exchanged(problem, layer, sums, (homes[expert], groups), expert, others)
            values = problem.makespans(tried).mean(axis=-1)
            at = int(values.argmin()) if len(values) else 0
            if len(values) and values[at] < best * (1 - ROUNDING):
                best, sums = float(values[at]), tried[at]
                if others[at] >= 0:
                    homes[others[at]] = homes[expert]
                homes[expert] = groups[at]
        if best >= before * (1 - ROUNDING):
            break
    return homes


def _exchanges(
    problem: Uneven, homes: Homes, expert: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the expert swapped with, or -1 for a move; the group gone to) of all that slots allow."""
    others = np.flatnonzero(homes != homes[expert])
    room = problem.slots > np.bincount(homes, minlength=problem.groups)
    room[homes[expert]] = False
    free = np.flatnonzero(room)
    return np.concatenate([others, np.full(len(free), -1)]), np.concatenate([homes[others], free])


def _exchanged(
    problem: Uneven,
    layer: int,
    sums: Floats,
    groups: tuple[np.int64, NDArray[np.int64]],
    expert: int,
    others: NDArray[np.int64],
) -> Floats:
    """Sums `[exchanges, units, windows, groups]` after each exchange; groups: left and gone to."""
    left, gone = groups
    seconds = problem.seconds[:, :, layer]
    back = np.where(others >= 0, seconds[..., others], 0.0)
    change = np.moveaxis(seconds[..., expert, None] - back, -1, 0)
    tried = np.repeat(sums[None], len(others), axis=0)
    tried[..., left] -= change
    tried[np.arange(len(others)), :, :, gone] += change
    return tried


def _count(problem: Uneven) -> int:
    """Homes of a layer, those that differ by the names of equal spaces alone counted once."""
    if problem.is_fixed:
        return int(problem.groups**problem.experts)
    size = problem.experts // problem.groups
    return prod(comb(left * size - 1, size - 1) for left in range(problem.groups, 0, -1))


def _best_of_all(problem: Uneven, layer: int) -> tuple[Homes, float]:
    """The best homes and their expected makespan."""
    everything = _fixed_homes(problem) if problem.is_fixed else _partitions(problem)
    homes = np.array(everything)
    expected = _expected(problem, layer, homes)
    best = int(expected.argmin())
    return homes[best], float(expected[best])


def _fixed_homes(problem: Uneven) -> list[tuple[int, ...]]:
    slots = problem.slots.tolist()
    groups = range(problem.groups)
    return [
        homes
        for homes in product(groups, repeat=problem.experts)
        if all(homes.count(group) <= slots[group] for group in groups)
    ]


def _partitions(problem: Uneven) -> list[NDArray[np.int64]]:
    """Each way to lie in equal spaces: the first expert without a home opens the next space."""
    size = problem.experts // problem.groups
    found = [np.full(problem.experts, -1)]
    for space in range(problem.groups):
        found = [
            _with(homes, (first, *rest), space)
            for homes in found
            for first, *free in [np.flatnonzero(homes < 0).tolist()]
            for rest in combinations(free, size - 1)
        ]
    return found


def _with(homes: NDArray[np.int64], experts: tuple[int, ...], space: int) -> NDArray[np.int64]:
    out = homes.copy()
    out[list(experts)] = space
    return out
