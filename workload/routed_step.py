"""Steps and chances from recorded routing: realised loads instead of expected ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .counts import RoutingCounts
from .model import MoEModel
from .step import Chunk, Decode, Step
from .trace import RoutingTrace


def step_from_trace(
    model: MoEModel,
    trace: RoutingTrace,
    tokens: NDArray[np.bool_] | NDArray[np.int64] | None = None,
    *,
    context: int | None = None,
    tile: bool = False,
) -> Step:
    """The step that computes the chosen tokens (a mask or indices; all by default) at once.

    Tokens marked as decode are requests of their own, each at its position; the others of one
    request are a chunk. context: all tokens decode at this context, for traces without positions.
    tile: lets a trace of fewer layers repeat over the model's; refused otherwise.
    """
    if model.two_stacks:
        raise BadInput(
            f"leads every token through every layer; {model.name} has an encoder", key="trace"
        )
    part = trace if tokens is None else trace.select(tokens)
    rows = _rows(model, part.layers, part.experts, tile)
    if part.top_k != model.experts.top_k:
        raise BadInput(
            f"holds {part.top_k} experts a token where {model.name} takes {model.experts.top_k}",
            key="trace",
        )
    chunks, decode = _requests(part, context)
    loads = part.counts().total()[rows]
    return Step(
        chunks=chunks,
        decode=decode,
        loads=loads,
        touched=(loads > 0).astype(np.float64),
        routing=part.expert_ids[:, rows],
        source_rank=part.source_rank,
    )


def chance_of(
    routing: RoutingTrace | RoutingCounts, model: MoEModel | None = None, *, tile: bool = False
) -> NDArray[np.float64]:
    """The chance `[moe_layers, experts]` that a token takes an expert, as `make_step` wants it.

    Counts alone do not tell how many experts a token takes: they need the model.
    """
    if isinstance(routing, RoutingTrace):
        chance = routing.counts().total() / routing.tokens
    elif model is None:
        raise BadInput("tells no top_k: give the model that was recorded", key="counts")
    else:
        total = routing.total()
        empty = np.flatnonzero(total.sum(axis=1) == 0)
        if empty.size:
            raise BadInput(f"recorded nothing in layer {routing.layers[empty[0]]}", key="counts")
        chance = total * (model.experts.top_k / total.sum(axis=1, keepdims=True))
    if chance.max() > 1 + 1e-9:
        raise BadInput("gives an expert more tokens than there are", key="routing")
    return chance if model is None else chance[_rows(model, routing.layers, routing.experts, tile)]


def capped_chances(row: NDArray[np.float64], top_k: int) -> NDArray[np.float64]:
    """Loads `[experts]` scaled to sum to top_k, what would exceed 1 dealt to the others; less than
    top_k where fewer experts have any load."""
    full = np.zeros(row.size, np.bool_)
    while True:
        rest = float(row[~full].sum())
        chance = np.where(full, 1.0, row * ((top_k - full.sum()) / rest if rest else 0.0))
        over = ~full & (chance > 1)
        if not over.any():
            return chance
        full |= over


def _rows(model: MoEModel, layers: tuple[int, ...], experts: int, tile: bool) -> list[int]:
    """The recorded layer that stands for each MoE layer of the model."""
    wanted = len(model.moe_layers)
    if experts != model.experts.count:
        raise BadInput(
            f"was recorded with {experts} experts; {model.name} has {model.experts.count}",
            key="routing",
        )
    if len(layers) > wanted or (len(layers) < wanted and not tile):
        raise BadInput(
            f"holds {len(layers)} layers; {model.name} has {wanted} with experts "
            "(fewer can be repeated on request: tile)",
            key="routing",
        )
    return [i % len(layers) for i in range(wanted)]


def _requests(
    trace: RoutingTrace, context: int | None
) -> tuple[tuple[Chunk, ...], tuple[Decode, ...]]:
    if context is not None:
        return (), (Decode(requests=trace.tokens, context=context),)
    if trace.position is None:
        raise BadInput("holds no positions: state the context of its tokens", key="trace")
    decoding = np.ones(trace.tokens, np.bool_) if trace.is_decode is None else trace.is_decode
    contexts, requests = np.unique(trace.position[decoding], return_counts=True)
    decode = tuple(
        Decode(requests=int(n), context=int(c)) for c, n in zip(contexts, requests, strict=True)
    )
    return _chunks(trace, ~decoding), decode


def _chunks(trace: RoutingTrace, prompt: NDArray[np.bool_]) -> tuple[Chunk, ...]:
    """One chunk for the prompt tokens of each request; equal ones are put together."""
    assert trace.position is not None
    position = trace.position[prompt]
    request = np.zeros(trace.tokens) if trace.request_id is None else trace.request_id
    _, index, lengths = np.unique(request[prompt], return_inverse=True, return_counts=True)
    cached = np.full(lengths.size, np.iinfo(np.int64).max)
    np.minimum.at(cached, index, position)
    shapes, times = np.unique(np.stack([lengths, cached]), axis=1, return_counts=True)
    return tuple(
        Chunk(tokens=int(length), cached=int(before), requests=int(n))
        for (length, before), n in zip(shapes.T, times, strict=True)
    )
