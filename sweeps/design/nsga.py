"""NSGA-II (Deb et al., IEEE TEC 2002) on the places of a grid, with constrained domination."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Ask = Callable[[Ints], tuple[Floats, Floats]]
"""Places `[points, axes]` to objectives `[points, k]` and excess `[points]`, 0 inside budgets."""


def nsga2(
    ask: Ask, shape: tuple[int, ...], evaluations: int, seed: int, population: int = 100
) -> None:
    """Asks for `evaluations` points, generation by generation, the last of them as large as what is
    left; `ask` keeps what it saw."""
    rng = np.random.default_rng(seed)
    sizes = np.array(shape)
    size = min(population, evaluations)
    parents = rng.integers(0, sizes, (size, len(shape)))
    fitness = ask(parents)
    for asked in range(size, evaluations, size):
        rank, crowd = ranked(*fitness)
        order = np.lexsort((-crowd, rank))
        place = np.empty(size, np.int64)
        place[order] = np.arange(size)
        children = _children(parents, place, sizes, rng)[: evaluations - asked]
        born = ask(children)
        parents = np.concatenate((parents, children))
        objectives, excess = (np.concatenate(pair) for pair in zip(fitness, born, strict=True))
        rank, crowd = ranked(objectives, excess)
        kept = np.lexsort((-crowd, rank))[:size]
        parents, fitness = parents[kept], (objectives[kept], excess[kept])


def _children(parents: Ints, place: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    """Tournaments of two, uniform crossover, and on average one gene of a child moved: half of
    the times to a neighbouring value, else to any."""
    size, genes = parents.shape
    drawn = rng.integers(0, size, (2, size, 2))
    one, other = np.moveaxis(drawn, -1, 0)
    first, second = np.where(place[one] < place[other], one, other)
    child = np.where(rng.random((size, genes)) < 0.5, parents[first], parents[second])
    near = np.clip(child + rng.choice((-1, 1), (size, genes)), 0, sizes - 1)
    far = rng.integers(0, sizes, (size, genes))
    moved = np.where(rng.random((size, genes)) < 0.5, near, far)
    return np.where(rng.random((size, genes)) < 1 / genes, moved, child)


def ranked(objectives: Floats, excess: Floats) -> tuple[Ints, Floats]:
    """The front that each point is on, and how far its neighbours on it are (crowding).

    A point inside the budgets beats one outside; of two outside, the one with less excess.
    """
    both = np.where(excess[:, None] > 0, 0.0, objectives)
    no_worse = (both[:, None] <= both[None]).all(-1)
    beats = no_worse & (both[:, None] < both[None]).any(-1) & (excess[:, None] == excess[None])
    beats |= excess[:, None] < excess[None]
    rank = np.full(len(both), -1)
    losses, level = beats.sum(axis=0), 0
    while (rank < 0).any():
        here = np.flatnonzero((rank < 0) & (losses == 0))
        rank[here] = level
        losses = losses - beats[here].sum(axis=0)
        level += 1
    crowd = np.zeros(len(both))
    for one in range(level):
        at = np.flatnonzero(rank == one)
        crowd[at] = _crowding(objectives[at])
    return rank, crowd


def _crowding(objectives: Floats) -> Floats:
    """Deb et al., section III.B: the ways between both neighbours, over the range, summed."""
    crowd = np.zeros(len(objectives))
    for column in objectives.T:
        order = np.argsort(column, kind="stable")
        sorted_ = column[order]
        spread = sorted_[-1] - sorted_[0]
        crowd[order[[0, -1]]] = np.inf
        if spread > 0:
            crowd[order[1:-1]] += (sorted_[2:] - sorted_[:-2]) / spread
    return crowd
