"""LLEP's figure 4: speed-ups of one MoE layer over plain expert parallelism on 8 H200.

Two models of a layer's time, both with our plans of `llep.spill`:

- fitted: T = busiest rank / mean + f, one f a model, fitted to this figure: a description, no
  prediction.
- from the machine: T = two all-to-alls of the mean rank's rows + the busiest rank's products at the
  bf16 peak + the weights that the busiest receiver fetches, nothing fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...hardware import Gpu, System
from .llep import Ints, SpillPlan, spill

RANKS = 8


class Layer(NamedTuple):
    """A model's MoE layer as the paper ran it, and the fitted cost over balanced compute."""

    experts: int
    top_k: int
    hidden: int
    inter: int
    tokens_per_rank: int
    fixed: float


LAYERS = {
    "gpt-oss-120b": Layer(128, 4, 2880, 2880, 32768, 0.54),
    "deepseek-v3": Layer(256, 8, 7168, 2048, 16384, 0.96),
    "kimi-k2": Layer(384, 8, 7168, 2048, 16384, 0.98),
}

PUBLISHED: dict[tuple[float, int], tuple[float, float, float]] = {
    (0.30, 16): (1.73, 1.69, 1.80),
    (0.50, 16): (2.85, 2.65, 2.73),
    (0.80, 16): (4.37, 3.83, 4.01),
    (0.95, 16): (5.19, 4.59, 4.83),
    (0.95, 1): (6.11, 5.13, 5.03),
    (0.0, 1): (1.07, 0.92, 1.03),
}
"""(share of the tokens, experts that get it) -> speed-ups of the three models; 0 is balanced."""


class Row(NamedTuple):
    """error: ours / paper - 1."""

    case: str
    paper: float
    ours: float
    error: float


def fitted_rows() -> list[Row]:
    """The figure by the fitted cost: speed-up = (x + f) / (y + f), where x and y are the busiest
    over the mean rank, without and with the plan."""
    return _rows(lambda layer, plan: plan.imbalance + layer.fixed)


def machine_rows(system: System) -> list[Row]:
    """The figure from a machine's bf16 peak and the bandwidth of its first tier."""
    device, link = system.devices[0], system.tiers[0].link

    def seconds(layer: Layer, plan: SpillPlan) -> float:
        rows = layer.tokens_per_rank * layer.top_k
        rate = device.peak("bf16") if isinstance(device, Gpu) else device.peak("fp32")
        exchange = 2 * rows * (RANKS - 1) / RANKS * layer.hidden * 2
        products = 6 * layer.hidden * layer.inter * float(plan.loads.max())
        weights = 3 * layer.hidden * layer.inter * 2 * int(plan.fetched.sum(axis=0).max())
        return products / rate + (exchange + weights) / link.bandwidth_bytes_per_s

    return _rows(seconds)


def skewed(layer: Layer, share: float, hot: int) -> Ints:
    """Tokens of each expert, `[experts]`: `share` of all into the first `hot`, the rest into the
    others; balanced where the share is 0."""
    total = layer.tokens_per_rank * layer.top_k * RANKS
    weight = np.full(layer.experts, (1 - share) / (layer.experts - hot))
    weight[:hot] = share / hot
    if share == 0:
        weight[:] = 1 / layer.experts
    # Whole tokens that sum to the total: differences of the rounded running sum.
    return np.diff(np.round(np.cumsum(weight) * total), prepend=0).astype(np.int64)


def _rows(seconds: Callable[[Layer, SpillPlan], float]) -> list[Row]:
    out = []
    for (share, hot), papers in PUBLISHED.items():
        for (name, layer), paper in zip(LAYERS.items(), papers, strict=True):
            loads = skewed(layer, share, hot)
            homes = np.arange(layer.experts) * RANKS // layer.experts
            plain = spill(loads, homes, RANKS, trigger=float(RANKS + 1))
            ours = seconds(layer, plain) / seconds(layer, spill(loads, homes, RANKS))
            what = f"{share:.0%} into {hot}" if share else "balanced"
            out.append(Row(f"{name}, {what}", paper, ours, ours / paper - 1))
    return out
