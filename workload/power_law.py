"""Loads of the busiest expert-parallel rank, drawn as the recorded MoE tables drew them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput


def power_law_loads(
    tokens: int, top_k: int, experts: int, exponent: float, *, draws: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """Tokens of each expert, `[draws, experts]`; every row sums to tokens * top_k.

    As NVIDIA aiconfigurator's collectors do (Apache-2.0): one sample of x^-exponent for each
    expert on [1, 0.8 tokens], or on [0.01, 2] where tokens * top_k <= experts; scaled, rounded,
    none above `tokens`; the rest goes one by one to the busiest first.
    """
    if min(tokens, top_k, experts, draws) < 1 or top_k > experts or not exponent > 0:
        raise BadInput(
            "needs positive numbers with top_k <= experts",
            key="power law",
            value=(tokens, top_k, experts, exponent, draws),
        )
    total = tokens * top_k
    low, high = (1.0, 0.8 * tokens) if total > experts else (0.01, 2.0)
    u = np.random.default_rng(seed).random((draws, experts))
    sample = _inverse_cdf(u, exponent, low, high)
    share = sample / sample.sum(axis=1, keepdims=True)
    loads = np.minimum(np.rint(share * total).astype(np.int64), tokens)
    return _summing_to(loads, total, tokens)


def _inverse_cdf(
    u: NDArray[np.float64], exponent: float, low: float, high: float
) -> NDArray[np.float64]:
    """x with P(X <= x) = u for the density x^-exponent on [low, high]."""
    if abs(exponent - 1) < 1e-9:
        return np.asarray(low * (high / low) ** u)
    power = 1 - exponent
    return np.asarray((low**power + u * (high**power - low**power)) ** (1 / power))


def _summing_to(loads: NDArray[np.int64], total: int, most: int) -> NDArray[np.int64]:
    """Rows brought to `total` by rounds of one step each, busiest first when adding, idlest first
    when taking. Whole rounds are taken at once until an expert is full or empty."""
    order = np.argsort(-loads, axis=1, kind="stable")
    ranked = np.take_along_axis(loads, order, axis=1)
    while (missing := (total - ranked.sum(axis=1))[:, None]).any():
        left = np.where(missing > 0, most - ranked, ranked)
        open_ = left > 0
        rounds = np.abs(missing) // open_.sum(axis=1, keepdims=True)
        rounds = np.minimum(rounds, np.where(open_, left, total).min(axis=1, keepdims=True))
        forward, backward = np.cumsum(open_, axis=1), np.cumsum(open_[:, ::-1], axis=1)[:, ::-1]
        turn = np.where(missing > 0, forward, backward)
        last = (rounds == 0) & (turn <= np.abs(missing))
        ranked += np.sign(missing) * open_ * np.where(last, 1, rounds)
    out = np.empty_like(ranked)
    np.put_along_axis(out, order, ranked, axis=1)
    return out


def busiest_rank(loads: NDArray[np.int64], ep: int) -> NDArray[np.int64]:
    """The loads `[draws, experts / ep]` of the rank with the most tokens, ranks in order."""
    draws, experts = loads.shape
    if ep < 1 or experts % ep:
        raise BadInput(f"must divide the {experts} experts", key="ep", value=ep)
    ranks = loads.reshape(draws, ep, experts // ep)
    busiest = ranks.sum(axis=2).argmax(axis=1)
    return np.asarray(ranks[np.arange(draws), busiest])
