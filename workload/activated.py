"""How many distinct experts a batch of tokens touches: exact, not sampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput


def touch_chance(per_token: ArrayLike, tokens: float) -> NDArray[np.float64]:
    """The chance that each expert is chosen by at least one of `tokens` independent tokens.

    per_token: any shape, the chance that one token takes the expert (top_k/experts if uniform).
    derived: 1 - (1 - p)^T; the experts that one token takes are distinct, so p is a plain
    inclusion probability and the sum over experts is the expected number of distinct experts.
    """
    p = np.asarray(per_token, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(tokens * np.log1p(-np.minimum(p, 1.0))))


def inclusion_chance(weights: ArrayLike, top_k: int, points: int = 400) -> NDArray[np.float64]:
    """The chance that each expert is among `top_k` drawn one by one without replacement.

    weights: `[experts]`, draws are proportional to them (Plackett-Luce, as sampling by a router's
    softmax with Gumbel noise draws). Exact up to quadrature: in the race of exponential clocks
    with rates w, expert e is included when fewer than top_k others ring before it, so
    p_e = integral of w_e exp(-w_e t) P(N_-e(t) < top_k) dt with N Poisson-binomial
    (derived: memorylessness of the exponential race).
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or w.min() < 0 or not np.isfinite(w).all():
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
    rate = w[live] / w[live].sum()
    # Substitution t = exp(y): the integrand is smooth in y and dies off at both ends.
    y = np.linspace(np.log(1e-9 / rate.max()), np.log(60.0 / rate.min()), points * 4)
    rung = -np.expm1(-np.exp(y)[:, None] * rate)  # [points, experts]: rung by time t
    for i in range(rate.size):
        others = np.delete(rung, i, axis=1)
        below = _at_most(others, top_k - 1)
        density = rate[i] * np.exp(-np.exp(y) * rate[i]) * np.exp(y)
        out[live[i]] = np.trapezoid(density * below, y)
    return out * (top_k / out.sum())


def _at_most(chance: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """P(sum of independent Bernoulli <= limit) for each row of `chance [points, n]`."""
    exact = np.zeros((chance.shape[0], limit + 1))
    exact[:, 0] = 1.0
    for p in chance.T:
        carried = exact[:, :-1] * p[:, None]
        exact *= (1 - p)[:, None]
        exact[:, 1:] += carried
    return np.asarray(exact.sum(axis=1))
