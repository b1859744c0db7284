"""UbiMoE's two-stage search (arXiv 2502.05602, algorithm 1) on the grid of a space."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .space import NAMES, OBJECTIVES, Axes, Evaluated

Ints = NDArray[np.int64]
Ask = Callable[[Ints], Evaluated]

CLOCK, PORT, QUERIES, COPIES = (
    NAMES.index(name) for name in ("clock_hz", "port_bits", "queries", "copies")
)
LINEAR = [NAMES.index(name) for name in ("tin", "tout", "units")]
DSP = OBJECTIVES.index("dsp")
USUAL_PORT = 256
"""Bits of a port in UbiMoE's sources: the first stage keeps it."""
POPULATION, GENERATIONS = 8, 4
BUDGETS = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1)
"""Shares of the DSP that the search is run for, one after the other, then random ones: each run
gives one design, a front needs several."""


def two_stage(ask: Ask, axes: Axes, evaluations: int, seed: int) -> None:
    """Asks for `evaluations` points; `ask` keeps what it saw.

    MoE stage, part 1: the linear kernel that is fastest in the budget beside the smallest attention
    kernel. MSA stage: for each number of copies a genetic search over Ta and Na, fitness L_MoE /
    L_MSA, that ends at 1. MoE stage, part 2: while the MSA is slower, a binary search shrinks the
    linear kernel, and the MSA stage runs again with the DSP that this frees (our reading: the paper
    does not say how freed DSP are used). The clock is no part of the paper's search: each run takes
    the next one, the highest first, since boards of several dies keep large designs to a lower one.
    Where no kernel of the first part fits, the paper has no next step: points are drawn.
    """
    rng = np.random.default_rng(seed)
    asked = _Budget(ask, evaluations)
    # The scan may take half of the evaluations: the other half is for the attention.
    scanned = _linear_kernels(axes, max(1, evaluations // 2), rng)
    found = asked(scanned)
    clocks = np.unique(scanned[found.inside, CLOCK])[::-1]
    if not clocks.size:
        asked(rng.integers(0, axes.shape, (asked.left, len(NAMES))))
    shares = iter(BUDGETS)
    while asked.left:
        share = next(shares, None) or rng.uniform(min(BUDGETS), 1.0)
        for clock in clocks:
            here = found.inside & (scanned[:, CLOCK] == clock)
            dsp = found.objectives[here, DSP]
            most = max(share * dsp.max(), dsp.min())  # never less than the smallest kernel
            good = np.flatnonzero(here & (found.objectives[:, DSP] <= most))
            ladder = good[_faster_and_larger(found.objectives[good, DSP], found.moe_s[good])]
            _balance(asked, scanned[ladder], most, axes, rng)


def _linear_kernels(axes: Axes, most: int, rng: np.random.Generator) -> Ints:
    """Every clock with every linear kernel beside the smallest attention kernel; at most so many,
    drawn."""
    genes = (CLOCK, *LINEAR)
    places = np.array(list(product(*(range(axes.shape[gene]) for gene in genes))))
    if len(places) > most:
        places = rng.permutation(places)[:most]
    scanned = np.zeros((len(places), len(NAMES)), np.int64)
    scanned[:, genes] = places
    usual = np.searchsorted(axes.port_bits, USUAL_PORT)
    scanned[:, PORT] = usual.clip(0, len(axes.port_bits) - 1)
    return scanned


def _balance(
    asked: _Budget, ladder: Ints, most: float, axes: Axes, rng: np.random.Generator
) -> None:
    """Binary search on linear kernels, small to large, for the largest that the MSA stage keeps
    up with."""
    low, high = 0, len(ladder) - 1
    middle = high
    while low <= high and asked.left:
        if _msa_stage(asked, ladder[middle], most, axes, rng) >= 1:
            low = middle + 1
        else:
            high = middle - 1
        middle = (low + high) // 2


def _msa_stage(
    asked: _Budget, linear: Ints, most: float, axes: Axes, rng: np.random.Generator
) -> float:
    """The best fitness L_MoE / L_MSA of attention kernels beside a linear kernel; 0 where none
    stays inside the budgets."""
    best = 0.0
    sizes = np.array([axes.shape[PORT], axes.shape[QUERIES]])
    for copies in range(axes.shape[COPIES]):
        genes = rng.integers(0, sizes, (POPULATION, 2))
        for _ in range(GENERATIONS):
            places = np.tile(linear, (POPULATION, 1))
            places[:, COPIES], places[:, [PORT, QUERIES]] = copies, genes
            found = asked(places[: asked.left])
            good = found.inside & (found.objectives[:, DSP] <= most)
            fitness = np.where(good, found.moe_s / found.msa_s, 0.0)
            best = max(best, float(fitness.max()))
            if best >= 1 or not asked.left:
                return best
            genes = _next(genes[np.argsort(-fitness, kind="stable")], sizes, rng)
    return best


def _next(ranked: Ints, sizes: Ints, rng: np.random.Generator) -> Ints:
    """The better half, and as many children of two of them, each gene moved by one at most."""
    half = len(ranked) // 2
    pair = rng.integers(0, half, (len(ranked) - half, 2))
    child = np.stack((ranked[pair[:, 0], 0], ranked[pair[:, 1], 1]), axis=1)
    child = np.clip(child + rng.integers(-1, 2, child.shape), 0, sizes - 1)
    return np.concatenate((ranked[:half], child))


def _faster_and_larger(dsp: NDArray[np.float64], seconds: NDArray[np.float64]) -> Ints:
    """The kernels for which a larger one is faster, by growing DSP."""
    order = np.lexsort((seconds, dsp))
    before = np.concatenate(([np.inf], np.minimum.accumulate(seconds[order])[:-1]))
    return order[seconds[order] < before]


class _Budget:
    """Asks as long as evaluations are left."""

    def __init__(self, ask: Ask, evaluations: int) -> None:
        self.ask, self.left = ask, evaluations

    def __call__(self, places: Ints) -> Evaluated:
        self.left -= len(places)
        return self.ask(places)
