"""Loads as they fall: tokens that choose their experts one by one, instead of the mean of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput
from .activated import inclusion_chance
from .synthetic import best_first

MOST_COUNTS = 2**27
_BLOCK = 2**21
_ROUNDS = 30
_CLOSE = 1e-4


def weights_of(chance: ArrayLike, top_k: int) -> NDArray[np.float64]:
    """Weights `[experts]` under which drawing `top_k` without replacement takes each expert with
    its `chance` (which sum to top_k, none above 1).

    derived: w <- w * chance / inclusion_chance(w), started at the chances' odds; a uniform row is
    its own answer. An expert of chance 1 keeps a weight that is chosen all but always.
    """
    p = np.asarray(chance, np.float64)
    if p.ndim != 1 or not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-9:
        raise BadInput("must be a row of numbers between 0 and 1", key="chance")
    if abs(p.sum() - top_k) > 1e-6 * top_k:
        raise BadInput(f"must sum to top_k = {top_k}, got {p.sum():g}", key="chance")
    if np.ptp(p) < 1e-12 or np.count_nonzero(p) == top_k:
        return p
    p = np.minimum(p, 1 - 1e-6)
    w = p / (1 - p)
    for _ in range(_ROUNDS):
        found = inclusion_chance(w, top_k)
        if np.abs(found - p).max() < _CLOSE:
            break
        w = w * np.divide(p, found, out=np.zeros_like(p), where=p > 0)
        w /= w.max()
    return np.asarray(w)


def drawn_loads(
    chance: ArrayLike, top_k: int, tokens: int, draws: int, seed: int, *, running: bool = False
) -> NDArray[np.int32]:
    """Tokens of each expert in `draws` independent batches: `[draws, experts]`, each summing to
    tokens * top_k. Tokens are independent; each takes an expert with its `chance` `[experts]`.

    running: `[draws, tokens + 1, experts]`, the loads of the first 0, 1, ... tokens of each batch,
    so that one drawing serves every batch size.
    """
    weights = weights_of(chance, top_k)
    experts = weights.size
    kept = tokens + 1 if running else 1
    if min(tokens, draws) < 1 or draws * kept * experts > MOST_COUNTS:
        raise BadInput(
            f"draws {draws} batches of {tokens} tokens over {experts} experts; at least one token "
            f"and at most {MOST_COUNTS:,} counts are kept",
            key="draws",
        )
    rng = np.random.default_rng(seed)
    out = np.zeros((draws, kept, experts), np.int32)
    block = max(1, _BLOCK // experts)
    for d in range(draws):
        for start in range(0, tokens, block):
            part = min(block, tokens - start)
            ids = _chosen(rng, weights, top_k, part)
            if running:
                steps = out[d, start + 1 : start + part + 1]
                np.put_along_axis(steps, ids, 1, axis=1)
            else:
                out[d, 0] += np.bincount(ids.ravel(), minlength=experts).astype(np.int32)
        if running:
            np.cumsum(out[d], axis=0, out=out[d])
    return out if running else out[:, 0]


def _chosen(
    rng: np.random.Generator, weights: NDArray[np.float64], top_k: int, tokens: int
) -> NDArray[np.int64]:
    """Experts `[tokens, top_k]`: of exponential clocks with these rates, those that ring first
    (as `inclusion_chance` has it)."""
    race = rng.standard_exponential((tokens, weights.size), dtype=np.float32)
    with np.errstate(divide="ignore"):
        race /= weights.astype(np.float32)
    return best_first(-race, top_k)
