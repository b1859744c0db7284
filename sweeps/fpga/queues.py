"""Tokens of each expert while images pass: evenly, or as a recorded routing deals them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import MoEModel, RoutingCounts, RoutingTrace
from ...workload.trace import count_experts

Ints = NDArray[np.int64]
MOST_IMAGES = 256


def even(model: MoEModel, tokens: int) -> Ints:
    """Queues `[1, moe_layers, experts]` of an image whose tokens are dealt evenly."""
    block, layers = model.experts, len(model.moe_layers)
    shares = np.full((1, layers, block.count), 1.0)
    return _dealt(shares, tokens * block.top_k, tokens)


def recorded(routing: RoutingTrace | RoutingCounts, model: MoEModel, tokens: int) -> Ints:
    """Queues `[images, moe_layers, experts]`: of a trace each run of `tokens` tokens is an image,
    of counts each window deals its shares; the first recorded layers serve the model's.

    Raises BadInput for a routing of other experts, of fewer layers or of fewer tokens.
    """
    block, layers = model.experts, len(model.moe_layers)
    if routing.experts != block.count or len(routing.layers) < layers:
        raise BadInput(
            f"routes {routing.experts} experts in {len(routing.layers)} layers; {model.name} has "
            f"{block.count} in {layers}",
            key="counts",
        )
    if isinstance(routing, RoutingCounts):
        shares = routing.loads[:MOST_IMAGES, :layers]
        if not (shares.sum(axis=2) > 0).all():
            raise BadInput("has a window without tokens in a layer", key="counts")
        return _dealt(shares, tokens * block.top_k, tokens)
    if routing.top_k != block.top_k:
        raise BadInput(
            f"takes {routing.top_k} experts a token, {model.name} {block.top_k}", key="counts"
        )
    images = min(routing.tokens // tokens, MOST_IMAGES)
    if not images:
        raise BadInput(f"has {routing.tokens} tokens, an image {tokens}", key="counts")
    ids = routing.expert_ids[: images * tokens, :layers]
    return count_experts(ids, block.count, np.repeat(np.arange(images), tokens), images)


def _dealt(shares: NDArray[np.float64], total: int, most: int) -> Ints:
    """`total` tokens `[images, layers]` by shares, no queue above `most`: rounded down, then one
    more each to the largest rests; what a full queue cannot take goes to the others."""
    share = shares / shares.sum(axis=-1, keepdims=True)
    wanted = np.minimum(share * total, most)
    # Full queues stay full: each round either fills another one or deals all that is left.
    for _ in range(shares.shape[-1]):
        rest = total - wanted.sum(axis=-1, keepdims=True)
        room = np.where(wanted < most, np.maximum(share, 1e-12), 0.0)
        part = rest / np.maximum(room.sum(axis=-1, keepdims=True), 1e-12)
        wanted = np.minimum(wanted + part * room, most)
    queues: Ints = np.floor(wanted + 1e-9).astype(np.int64)
    left = total - queues.sum(axis=-1)
    order = np.argsort(-(wanted - queues), axis=-1, kind="stable")
    more = np.arange(shares.shape[-1]) < left[..., None]
    np.put_along_axis(queues, order, np.take_along_axis(queues, order, -1) + more, -1)
    return queues
