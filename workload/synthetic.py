"""Traces made from a few numbers, and the null of a trace that keeps its marginals only."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput
from .trace import RoutingTrace

MOST_IDS = 2**31
MOST_LAYERS = 4096
MOST_EXPERTS = 2**24
_BLOCK = 2**22


def plackett_luce(
    weights: ArrayLike, top_k: int, tokens: int, seed: int, *, source: str = "drawn"
) -> RoutingTrace:
    """`tokens` independent tokens; each draws `top_k` experts without replacement.

    weights: `[layers, experts]`; draws are proportional to them, best first. Gumbel top-k: the
    largest of log w + Gumbel noise in order are such a draw (arXiv 1903.06059, section 2).
    """
    w = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    layers, experts = w.shape
    if not np.isfinite(w).all() or (w < 0).any():
        raise BadInput("must be finite and not negative", key="weights")
    most = int((w > 0).sum(axis=1).min())
    if not 1 <= top_k <= most:
        raise BadInput(
            f"must lie between 1 and the {most} experts of positive weight",
            key="top_k",
            value=top_k,
        )
    if tokens < 1 or tokens * layers * top_k > MOST_IDS:
        raise BadInput(
            f"must lie between 1 and {MOST_IDS // (layers * top_k)} for this shape",
            key="tokens",
            value=tokens,
        )
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore"):
        score = np.log(w).astype(np.float32)
    ids = np.empty((tokens, layers, top_k), np.int16)
    step = max(1, _BLOCK // (layers * experts))
    for start in range(0, tokens, step):
        part = ids[start : start + step]
        noisy = score + rng.gumbel(size=(len(part), layers, experts)).astype(np.float32)
        part[...] = best_first(noisy, top_k)
    return RoutingTrace(expert_ids=ids, experts=experts, layers=tuple(range(layers)), source=source)


def best_first(score: NDArray[np.float32], top_k: int) -> NDArray[np.int64]:
    """The `top_k` largest along the last axis, largest first."""
    if top_k < score.shape[-1]:
        best = np.argpartition(score, -top_k, axis=-1)[..., -top_k:]
    else:
        best = np.broadcast_to(np.arange(top_k), score.shape)
    order = np.argsort(-np.take_along_axis(score, best, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(best, order, axis=-1)


def uniform(experts: int, top_k: int, tokens: int, layers: int, seed: int) -> RoutingTrace:
    """Every expert is as likely as any other."""
    return zipf(experts, top_k, tokens, layers, 0.0, seed)


def zipf(
    experts: int, top_k: int, tokens: int, layers: int, exponent: float, seed: int
) -> RoutingTrace:
    """Popularity 1 / rank^exponent; which expert is popular is drawn anew for each layer."""
    if not 1 <= experts <= np.iinfo(np.int16).max:
        raise BadInput("must lie between 1 and 32767", key="experts", value=experts)
    if layers < 1 or not 0 <= exponent < 100:
        key, value = ("layers", layers) if layers < 1 else ("exponent", exponent)
        raise BadInput("must be positive (an exponent below 100)", key=key, value=value)
    most = min(MOST_LAYERS, MOST_EXPERTS // experts)
    if layers > most:
        raise BadInput(
            f"must lie between 1 and {most} for {experts} experts", key="layers", value=layers
        )
    weights = zipf_weights(experts, exponent)
    rng = np.random.default_rng([seed, 1])
    rows = np.stack([rng.permutation(weights) for _ in range(layers)])
    source = f"drawn: Zipf exponent {exponent:g}, seed {seed}"
    return plackett_luce(rows, top_k, tokens, seed, source=source)


def topical(
    experts: int,
    top_k: int,
    tokens: int,
    layers: int,
    affinity: float,
    seed: int,
    *,
    topics: int = 16,
    popularity: float = 0.6,
) -> RoutingTrace:
    """Tokens about two of `topics` each, so that what a token took tells what it will take next.

    A topic likes each expert of each layer by a normal draw. A token's logits are a mix of its two
    topics (shares u and 1 - u, u uniform) times `affinity`, plus the popularity of each expert
    (normal, of the given deviation), plus Gumbel noise; the `top_k` largest are taken. Affinity
    between layers comes from the shared topics alone; at 0 layers are independent.
    """
    _check_topical(experts, top_k, tokens, layers, affinity, topics)
    rng = np.random.default_rng(seed)
    liked = rng.normal(0.0, popularity, layers * experts).astype(np.float32)
    likes = rng.normal(0.0, affinity, (topics, layers * experts)).astype(np.float32)
    ids = np.empty((tokens, layers, top_k), np.int16)
    step = max(1, _BLOCK // (layers * experts))
    for start in range(0, tokens, step):
        part = ids[start : start + step]
        logits = (_mixes(rng, len(part), topics) @ likes + liked).reshape(-1, layers, experts)
        # A race of exponential clocks with rates exp(logit): who rings first is drawn as by
        # Gumbel noise, at half the cost.
        race = rng.standard_exponential(logits.shape, dtype=np.float32)
        part[...] = best_first(-race * np.exp(-logits), top_k)
    source = f"drawn: {topics} topics, affinity {affinity:g}, seed {seed}"
    return RoutingTrace(expert_ids=ids, experts=experts, layers=tuple(range(layers)), source=source)


def _mixes(rng: np.random.Generator, tokens: int, topics: int) -> NDArray[np.float32]:
    """Two different topics a token with shares that sum to one: `[tokens, topics]`."""
    mixes = np.zeros((tokens, topics), np.float32)
    two = np.argpartition(rng.random((tokens, topics)), 2, axis=1)[:, :2]
    share = rng.random((tokens, 1), dtype=np.float32)
    np.put_along_axis(mixes, two, np.concatenate([share, 1 - share], axis=1), axis=1)
    return mixes


def _check_topical(
    experts: int, top_k: int, tokens: int, layers: int, affinity: float, topics: int
) -> None:
    for key, value, most in (
        ("experts", experts, np.iinfo(np.int16).max),
        ("layers", layers, MOST_LAYERS),
        ("top_k", top_k, experts),
        ("topics", topics, 4096),
    ):
        low = 3 if key == "topics" else 1
        if not low <= value <= most:
            raise BadInput(f"must lie between {low} and {most}", key=key, value=value)
    if not 0 <= affinity < 100:
        raise BadInput("must lie between 0 and 100", key="affinity", value=affinity)
    if layers * experts * topics > MOST_EXPERTS * 16:
        raise BadInput("asks for too many likings of topics", key="topics", value=topics)
    most = MOST_IDS // (layers * top_k)
    if not 1 <= tokens <= most:
        raise BadInput(f"must lie between 1 and {most} for this shape", key="tokens", value=tokens)


def zipf_weights(experts: int, exponent: float) -> NDArray[np.float64]:
    """1 / rank^exponent for ranks 1 .. experts."""
    return np.asarray(np.arange(1, experts + 1, dtype=np.float64) ** -exponent)


def shuffled(trace: RoutingTrace, seed: int = 0) -> RoutingTrace:
    """The same loads without affinity: each layer's rows permuted across tokens on their own.

    Columns that tell tokens apart are dropped: they would describe other tokens.
    """
    rng = np.random.default_rng(seed)
    ids = np.empty_like(trace.expert_ids)
    for layer in range(len(trace.layers)):
        ids[:, layer] = trace.expert_ids[rng.permutation(trace.tokens), layer]
    bare = RoutingTrace(expert_ids=ids, experts=trace.experts, layers=trace.layers)
    return msgspec.structs.replace(bare, source=f"{trace.source}, shuffled with seed {seed}")
