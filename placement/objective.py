"""What a placement costs, in counts: one number per layer, less is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..workload import ExpertMap

Measure = Callable[[ExpertMap, NDArray[np.float64]], NDArray[np.float64]]
"""(map, loads `[moe_layers, experts]`) -> `[moe_layers]`."""


def imbalance(expert_map: ExpertMap, loads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Load of the busiest rank over the mean; SGLang and vLLM print its inverse."""
    rank_loads = expert_map.rank_loads(loads)
    return np.asarray(rank_loads.max(axis=1) / rank_loads.mean(axis=1))


def excess(expert_map: ExpertMap, loads: NDArray[np.float64]) -> NDArray[np.float64]:
    """(max - mean) / mean of the rank loads: what TensorRT-LLM reports."""
    return imbalance(expert_map, loads) - 1


def activated(expert_map: ExpertMap, loads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slots with any load on the rank that has most of them.

    They are the weights read in a memory-bound step (arXiv 2512.09277). Over a long trace every
    expert is met and this is the slot count: give it the loads of one step.
    """
    rows = np.arange(len(loads))[:, None]
    out = np.zeros((len(loads), expert_map.devices))
    np.add.at(out, (rows, expert_map.ranks[None, :]), loads[rows, expert_map.slots] > 0)
    return np.asarray(out.max(axis=1))


MEASURES: dict[str, Measure] = {
    "imbalance": imbalance,
    "excess": excess,
    "activated": activated,
}


def score(expert_map: ExpertMap, loads: NDArray[np.float64]) -> dict[str, float]:
    """Every measure as its worst and its mean layer: {'imbalance_worst': ..., ...}."""
    scores: dict[str, float] = {}
    for name, measure in MEASURES.items():
        values = measure(expert_map, loads)
        scores[f"{name}_worst"] = float(values.max())
        scores[f"{name}_mean"] = float(values.mean())
    return scores
