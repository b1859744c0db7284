"""What a routing says: loads, imbalance, co-activation, affinity of layers, repetition.

Arrays are `[layers, experts]` unless said otherwise. An affinity is always held against the
marginal and against a shuffled null, never against 1/experts.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .activated import touch_chance
from .expert_map import contiguous
from .synthetic import shuffled
from .trace import RoutingTrace, count_experts

Floats = NDArray[np.float64]

MOST_CELLS = 2**26
"""Of a table of pairs of experts: half a gigabyte, of which a few are held at once."""


def imbalance(loads: Floats) -> Floats:
    """Busiest over mean load along the last axis; nan where nothing was routed."""
    mean = np.asarray(loads, dtype=np.float64).mean(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.max(loads, axis=-1) / mean)


def loads_by(trace: RoutingTrace, group: NDArray[np.int64]) -> Floats:
    """Assignments `[groups, layers, experts]` by a whole number per token, such as its domain."""
    groups = int(group.max()) + 1
    return count_experts(trace.expert_ids, trace.experts, group, groups).astype(np.float64)


def rank_loads(loads: Floats, ranks: int) -> Floats:
    """Loads `[..., ranks]` of ranks that hold experts in order, as engines do by default."""
    homes = contiguous(loads.shape[-1], ranks, (0,)).ranks
    starts = np.searchsorted(homes, np.arange(ranks))
    return np.asarray(np.add.reduceat(loads, starts, axis=-1))


def co_activation(trace: RoutingTrace) -> NDArray[np.int64]:
    """Tokens that took both experts: `[layers, experts, experts]`; the diagonal holds loads."""
    out = _no_pairs(len(trace.layers), trace.experts)
    for a in range(trace.top_k):
        for b in range(trace.top_k):
            out += _pairs(trace.expert_ids[:, :, a], trace.expert_ids[:, :, b], trace.experts)
    return out


def transitions(trace: RoutingTrace, *, every: bool = False) -> NDArray[np.int64]:
    """Tokens from an expert of a layer to one of the next: `[layers - 1, experts, experts]`.

    First choice to first choice, or with `every` each of the k choices to each.
    """
    here, after = trace.expert_ids[:, :-1], trace.expert_ids[:, 1:]
    choices = range(trace.top_k) if every else range(1)
    out = _no_pairs(here.shape[1], trace.experts)
    for a in choices:
        for b in choices:
            out += _pairs(here[:, :, a], after[:, :, b], trace.experts)
    return out


def _no_pairs(columns: int, experts: int) -> NDArray[np.int64]:
    """Zeros `[columns, experts, experts]`; a file of a few bytes may claim 32767 experts."""
    if columns * experts**2 > MOST_CELLS:
        raise BadInput(
            f"asks for pairs of {experts} experts in {columns} layers, {columns * experts**2} "
            f"numbers; at most {MOST_CELLS} are kept",
            key="trace",
        )
    return np.zeros((columns, experts, experts), np.int64)


def _pairs(a: NDArray[np.int16], b: NDArray[np.int16], experts: int) -> NDArray[np.int64]:
    """How often ids of `[tokens, columns]` meet: `[columns, experts, experts]`."""
    columns = a.shape[1]
    flat = (np.arange(columns) * experts + a) * experts + b
    counted = np.bincount(flat[(a >= 0) & (b >= 0)], minlength=columns * experts**2)
    return np.asarray(counted.reshape(columns, experts, experts))


def entropy_bits(counts: Floats) -> Floats:
    """Entropy of the shares along the last axis, in bits (plug-in estimate)."""
    counts = np.asarray(counts, dtype=np.float64)
    share = counts / counts.sum(axis=-1, keepdims=True)
    return np.asarray(-(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=-1))


def mutual_information_bits(joint: Floats) -> Floats:
    """I(X;Y) = H(X) + H(Y) - H(X,Y) of counts `[..., experts, experts]`, in bits."""
    both = joint.reshape(*joint.shape[:-2], -1)
    return np.asarray(
        entropy_bits(joint.sum(axis=-1)) + entropy_bits(joint.sum(axis=-2)) - entropy_bits(both)
    )


def best_conditional(joint: Floats) -> Floats:
    """How often the likeliest next expert of each expert is right: sum_i max_j P(i, j)."""
    return np.asarray(joint.max(axis=-1).sum(axis=-1) / joint.sum(axis=(-2, -1)))


def best_marginal(joint: Floats) -> Floats:
    """How often the most popular next expert is right, whatever came before."""
    return np.asarray(joint.sum(axis=-2).max(axis=-1) / joint.sum(axis=(-2, -1)))


class Affinity(msgspec.Struct, frozen=True, kw_only=True):
    """Adjacent layers, first choices, means over layer pairs. What counts is the gain over
    `shuffled`, the conditional of a trace whose layers were permuted independently."""

    conditional: float
    marginal: float
    shuffled: float
    information_bits: float
    entropy_bits: float


def affinity(trace: RoutingTrace, seed: int = 0) -> Affinity:
    """How much a layer's first choice tells of the next layer's."""
    if len(trace.layers) < 2:
        raise BadInput("needs at least two layers", key="trace", value=len(trace.layers))
    joint = transitions(trace).astype(np.float64)
    null = transitions(shuffled(trace, seed)).astype(np.float64)
    return Affinity(
        conditional=float(best_conditional(joint).mean()),
        marginal=float(best_marginal(joint).mean()),
        shuffled=float(best_conditional(null).mean()),
        information_bits=float(mutual_information_bits(joint).mean()),
        entropy_bits=float(entropy_bits(joint.sum(axis=-2)).mean()),
    )


def set_prediction(trace: RoutingTrace) -> tuple[float, float]:
    """Share of the next layer's experts guessed right: from the previous set, from popularity.

    The guess is the k experts with the largest summed transition chance from the previous set.
    """
    joint = transitions(trace, every=True).astype(np.float64)
    k, pairs = trace.top_k, joint.shape[0]
    chance = joint / np.maximum(joint.sum(axis=2, keepdims=True), 1)
    popular = np.argsort(-joint.sum(axis=1), axis=1)[:, :k]
    hits = fallback = 0.0
    for pair in range(pairs):
        before, after = trace.expert_ids[:, pair], trace.expert_ids[:, pair + 1]
        score = np.zeros((trace.tokens, trace.experts))
        for choice in before.T:
            score += np.where(choice[:, None] >= 0, chance[pair][choice], 0.0)
        guess = np.argpartition(-score, k - 1, axis=1)[:, :k]
        hits += _overlap(guess, after).mean() / k / pairs
        fallback += np.isin(after, popular[pair]).sum(axis=1).mean() / k / pairs
    return float(hits), float(fallback)


def repetition(trace: RoutingTrace) -> Floats:
    """`[layers]`: the chance that an expert is active at t + 1 given that it is at t.

    Neighbouring tokens of one request; without request ids the whole trace is one.
    """
    ids = trace.expert_ids
    follows = np.ones(trace.tokens - 1, np.bool_)
    if trace.request_id is not None:
        follows = trace.request_id[1:] == trace.request_id[:-1]
    now, then = ids[:-1][follows], ids[1:][follows]
    if not len(now):
        raise BadInput("needs two neighbouring tokens of one request", key="trace")
    return np.asarray(_overlap(now, then).sum(axis=0) / (now >= 0).sum(axis=(0, 2)))


def _overlap(a: NDArray[np.int64] | NDArray[np.int16], b: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many ids of the last axis of `a` stand in that of `b`; -1 never counts."""
    same = (a[..., :, None] == b[..., None, :]) & (b >= 0)[..., None, :]
    return np.asarray(same.sum(axis=(-2, -1)))


def touched_share(
    trace: RoutingTrace, batch: int, *, draws: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Share of experts that `batch` random tokens touch: drawn from the trace, and by formula.

    Means over layers and draws; the formula is `touch_chance` of each expert's own popularity.
    """
    if not 1 <= batch <= trace.tokens:
        raise BadInput(f"must lie between 1 and {trace.tokens}", key="batch", value=batch)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(trace.tokens, size=(draws, batch))
    group = np.repeat(np.arange(draws), batch)
    ids = trace.expert_ids[chosen.ravel()]
    drawn = count_experts(ids, trace.experts, group, draws) > 0
    popularity = trace.counts().total() / trace.tokens
    return float(drawn.mean()), float(touch_chance(popularity, batch).mean())
