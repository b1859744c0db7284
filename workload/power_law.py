"""Loads of the busiest expert-parallel rank, drawn as the recorded MoE tables drew them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput


def power_law_loads(
    tokens: int,
    top_k: int,
    experts: int,
    exponent: float,
    *,
    ep: int = 1,
    draws: int = 5,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Tokens of each expert, `[draws, experts]`; every row sums to tokens * top_k.

    As NVIDIA aiconfigurator's collectors do (Apache-2.0): one sample of x^-exponent for each
    expert on [1, 0.8 tokens], or on [0.01, 2] where tokens * top_k <= experts; scaled, rounded,
    none above `tokens`. What is then missing is dealt to the `ep` ranks in turn, each time to the
    rank's idlest expert; what is too much is taken from its busiest.
    """
    if min(tokens, top_k, experts, draws) < 1 or top_k > experts or not exponent > 0:
        raise BadInput(
            "needs positive numbers with top_k <= experts",
            key="power law",
            value=(tokens, top_k, experts, exponent, draws),
        )
    _divides(ep, experts)
    total = tokens * top_k
    low, high = (1.0, 0.8 * tokens) if total > experts else (0.01, 2.0)
    u = np.random.default_rng(seed).random((draws, experts))
    sample = _inverse_cdf(u, exponent, low, high)
    share = sample / sample.sum(axis=1, keepdims=True)
    rounded = np.rint(share * total).astype(np.int64)
    over = np.maximum(rounded - tokens, 0).sum(axis=1)
    loads = np.minimum(rounded, tokens).reshape(draws, ep, experts // ep)
    loads = _filled(loads, over, tokens)
    missing = total - loads.sum(axis=(1, 2))
    loads = _filled(loads, np.maximum(missing, 0), tokens)
    # Taking from the busiest is filling up the idlest, seen from the other side.
    loads = tokens - _filled(tokens - loads, np.maximum(-missing, 0), tokens)
    return np.asarray(loads.reshape(draws, experts))


def _inverse_cdf(
    u: NDArray[np.float64], exponent: float, low: float, high: float
) -> NDArray[np.float64]:
    """x with P(X <= x) = u for the density x^-exponent on [low, high]."""
    if abs(exponent - 1) < 1e-9:
        return np.asarray(low * (high / low) ** u)
    power = 1 - exponent
    return np.asarray((low**power + u * (high**power - low**power)) ** (1 / power))


def _filled(loads: NDArray[np.int64], amount: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """`amount [draws]` more tokens in `loads [draws, ranks, experts]`: one by one to the ranks in
    turn, there to the idlest expert. Full ranks (all experts at `most`) are passed over."""
    if not amount.any():
        return loads
    room = (most - loads).sum(axis=2)
    left, given = np.minimum(amount, room.sum(axis=1))[:, None], np.zeros_like(room)
    while left.any():
        open_ = given < room
        smallest = np.where(open_, room - given, left).min(axis=1, keepdims=True)
        rounds = np.minimum(left // np.maximum(open_.sum(axis=1, keepdims=True), 1), smallest)
        last = (rounds == 0) & (np.cumsum(open_, axis=1) <= left)
        step = open_ * np.where(last, 1, rounds)
        given, left = given + step, left - step.sum(axis=1, keepdims=True)
    return _levelled(loads, given)


def _levelled(loads: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """`given [draws, ranks]` steps of one, each to the rank's idlest expert: water filling."""
    order = np.argsort(loads, axis=2, kind="stable")
    ranked = np.take_along_axis(loads, order, axis=2)
    count = np.arange(1, loads.shape[2] + 1)
    below = np.cumsum(ranked, axis=2)
    # The first n experts are lifted to one level as far as that costs no more than is given.
    lifted = (count * ranked - below <= given[:, :, None]).sum(axis=2, keepdims=True)
    water = np.take_along_axis(below, lifted - 1, axis=2) + given[:, :, None]
    level = water // lifted + (count <= water % lifted)
    out = np.empty_like(loads)
    np.put_along_axis(out, order, np.where(count <= lifted, level, ranked), axis=2)
    return out


def busiest_rank(loads: NDArray[np.int64], ep: int) -> NDArray[np.int64]:
    """The loads `[draws, experts / ep]` of the rank with the most tokens, ranks in order."""
    draws, experts = loads.shape
    _divides(ep, experts)
    ranks = loads.reshape(draws, ep, experts // ep)
    busiest = ranks.sum(axis=2).argmax(axis=1)
    return np.asarray(ranks[np.arange(draws), busiest])


def _divides(ep: int, experts: int) -> None:
    if ep < 1 or experts % ep:
        raise BadInput(f"must divide the {experts} experts", key="ep", value=ep)
