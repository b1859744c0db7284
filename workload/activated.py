"""How many distinct experts a batch of tokens touches: exact, not sampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput


def touch_chance(per_token: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
    """The chance that each expert is chosen by at least one of `tokens` independent tokens.

    per_token: any shape, the chance that one token takes the expert (top_k/experts if uniform);
    tokens: one number, or an array that broadcasts with it.
    derived: 1 - (1 - p)^T; the experts that one token takes are distinct, so p is a plain
    inclusion probability and the sum over experts is the expected number of distinct experts.
    """
    p = np.asarray(per_token, dtype=np.float64)
    count = np.asarray(tokens, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = -np.expm1(count * np.log1p(-np.minimum(p, 1.0)))
    return np.where(count == 0, 0.0, chance)


def inclusion_chance(weights: ArrayLike, top_k: int, step: float = 0.1) -> NDArray[np.float64]:
    """The chance that each expert is among `top_k` drawn one by one without replacement.

    weights: `[experts]`, draws are proportional to them (Plackett-Luce, as sampling by a router's
    softmax with Gumbel noise draws). derived: in a race of exponential clocks with rates w, expert
    e is included when fewer than top_k others ring before it, so
    p_e = integral of w_e exp(-w_e t) P(N_-e(t) < top_k) dt with N Poisson-binomial. Exact up to
    the trapezoidal rule in log t with the given step, which converges faster than any power.
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any():
        raise BadInput("must be a row of finite numbers, none negative", key="weights")
    live = np.flatnonzero(w > 0)
    if not 1 <= top_k <= live.size:
        raise BadInput(
            f"must lie between 1 and the {live.size} experts of positive weight",
            key="top_k",
            value=top_k,
        )
    out = np.zeros(w.size)
    if top_k == live.size:
        out[live] = 1.0
        return out
    rate = w[live] / w[live].max()
    # Before the first time nothing rings; after the last the top_k + 1 fastest all have rung.
    last = np.log(40.0) - np.log(np.partition(rate, -top_k - 1)[-top_k - 1])
    log_t = np.arange(np.log(1e-12), last + step, step)
    out[live] = sum(_ringing(part, rate, top_k) for part in np.array_split(log_t, 8)) * step
    return np.asarray(out * (top_k / out.sum()))


def _ringing(
    log_t: NDArray[np.float64], rate: NDArray[np.float64], top_k: int
) -> NDArray[np.float64]:
    """`[experts]`: the integrand over log t of `inclusion_chance`, summed over the given times.

    The count of all clocks but one comes from counts of those before it and after it: additions
    of positive numbers only, where dividing one clock out of the whole would lose all digits.
    """
    elapsed = np.outer(rate, np.exp(log_t))  # [experts, times]
    silent, rung = np.exp(-elapsed), -np.expm1(-elapsed)
    before = _running_counts(silent, rung, top_k)
    after = _running_counts(silent[::-1], rung[::-1], top_k)[::-1]
    at_most = np.cumsum(after, axis=2)[:, :, ::-1]  # so that index a meets top_k - 1 - a
    fewer = np.einsum("etk,etk->et", before, at_most)
    return np.asarray((fewer * silent * elapsed).sum(axis=1))


def _running_counts(
    silent: NDArray[np.float64], rung: NDArray[np.float64], top_k: int
) -> NDArray[np.float64]:
    """`[experts, times, top_k]`: the chance that 0, 1, ... of the clocks before this one rang."""
    out = np.empty((*silent.shape, top_k))
    row = np.zeros((silent.shape[1], top_k))
    row[:, 0] = 1.0
    for expert in range(len(silent)):
        out[expert] = row
        carried = row[:, :-1] * rung[expert][:, None]
        row = row * silent[expert][:, None]
        row[:, 1:] += carried
    return out
