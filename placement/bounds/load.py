"""Lower bounds on the load of the busiest rank of one layer, from counting alone."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..placement import Proof


def best_load_proof(
    loads: NDArray[np.float64], slots_per_rank: NDArray[np.int64], layer: int
) -> Proof:
    """The strongest of `load_proofs`; the first of equals."""
    return max(load_proofs(loads, slots_per_rank, layer), key=lambda proof: proof.bound)


def load_proofs(
    loads: NDArray[np.float64], slots_per_rank: NDArray[np.int64], layer: int
) -> Iterator[Proof]:
    """Every bound for loads `[experts]` on ranks of fixed slot counts."""
    slots = int(slots_per_rank.sum())
    if slots > len(loads):
        yield Proof(layer=layer, kind="mean", bound=float(loads.sum()) / len(slots_per_rank))
        yield Proof(layer=layer, kind="copies", bound=copies_bound(loads, slots))
        return
    yield Proof(layer=layer, kind="mean", bound=mean_bound(loads, len(slots_per_rank)))
    for depth in range(1, int(slots_per_rank.max()) + 1):
        if (depth - 1) * len(slots_per_rank) + 1 > len(loads):
            break
        bound = pigeonhole_bound(loads, slots_per_rank, depth)
        yield Proof(layer=layer, kind="pigeonhole", bound=bound, depth=depth)


def mean_bound(loads: NDArray[np.float64], ranks: int) -> float:
    """Some rank has at least the mean; whole tokens cannot be split, so then the next integer."""
    mean = float(loads.sum()) / ranks
    whole = bool((loads == np.floor(loads)).all()) and loads.sum() < 2**53
    return float(math.ceil(mean)) if whole else mean


def pigeonhole_bound(
    loads: NDArray[np.float64], slots_per_rank: NDArray[np.int64], depth: int
) -> float:
    """Of the (depth-1) * ranks + 1 hottest experts some rank holds at least `depth`.

    derived: that rank's load is least when they are the `depth` coolest of them, and its other
    slots (as many as the smallest rank has) hold the coolest experts of all. depth 1 is the
    hottest expert with the coolest company it can have.
    """
    order = np.sort(loads)[::-1]
    hottest = (depth - 1) * len(slots_per_rank) + 1
    company = max(0, int(slots_per_rank.min()) - depth)
    met = order[hottest - depth : hottest].sum()
    return float(met + (order[len(order) - company :].sum() if company else 0.0))


def copies_bound(loads: NDArray[np.float64], slots: int) -> float:
    """The lightest that the heaviest copy can be, where the copies of an expert share its load.

    derived: a busiest rank of t has no copy above t, so expert e needs ceil(load_e / t) copies; the
    least t whose copies fit is found by giving the next copy to the heaviest share, which is
    greedy and exact (each copy only matters for its own expert).
    """
    heap = [(-float(load), float(load), 1) for load in loads]
    heapq.heapify(heap)
    for _ in range(slots - len(loads)):
        _, load, copies = heap[0]
        heapq.heapreplace(heap, (-load / (copies + 1), load, copies + 1))
    return -heap[0][0]
