"""Step: one forward pass of a serving engine, and what its tokens ask of the experts."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput, Count, Natural, Spec
from .activated import touch_chance
from .model import Experts, MoEModel


class Chunk(Spec, frozen=True, kw_only=True):
    """`requests` prompts of which `tokens` are computed now, after `cached` tokens each."""

    tokens: Count
    cached: Natural = 0
    requests: Count = 1


class Decode(Spec, frozen=True, kw_only=True):
    """`requests` that each make one token while `context` tokens are cached."""

    requests: Count
    context: Natural


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one forward pass computes, over all replicas together.

    loads: float64 `[moe_layers, experts]`, expected (or realised) assignments per expert.
    touched: `[moe_layers, experts]`, the chance that an expert is read at all; 0 or 1 when
    realised. routing: the expert ids of the step's tokens, int16 `[tokens, moe_layers, top_k]`,
    where a trace gave them; source_rank: `[tokens]`, the replica that each token came from.
    """

    chunks: tuple[Chunk, ...] = ()
    decode: tuple[Decode, ...] = ()
    loads: NDArray[np.float64]
    touched: NDArray[np.float64]
    routing: NDArray[np.int16] | None = None
    source_rank: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if not self.tokens:
            raise BadInput("computes no token: give a batch or a prefill", key="step")

    @property
    def prefill_tokens(self) -> int:
        return sum(chunk.tokens * chunk.requests for chunk in self.chunks)

    @property
    def decode_tokens(self) -> int:
        return sum(group.requests for group in self.decode)

    @property
    def tokens(self) -> int:
        return self.prefill_tokens + self.decode_tokens


def make_step(
    model: MoEModel,
    *,
    batch: int = 0,
    context: int = 0,
    prefill: int = 0,
    cached: int = 0,
    prefill_requests: int = 1,
    chance: NDArray[np.float64] | None = None,
) -> Step:
    """A step of `batch` decoding requests at `context` and `prefill_requests` prompts of `prefill`.

    chance: `[moe_layers, experts]` or `[experts]`, the probability that a token takes an expert
    (each row sums to top_k); uniform by default. Tokens are taken as independent.
    """
    sizes = {"batch": batch, "context": context, "prefill": prefill, "cached": cached}
    for key, value in sizes.items():
        if value < 0:
            raise BadInput("must not be negative", key=key, value=value)
    if prefill_requests < 1:
        raise BadInput("must be at least 1", key="prefill_requests", value=prefill_requests)
    chunks = (Chunk(tokens=prefill, cached=cached, requests=prefill_requests),) if prefill else ()
    decode = (Decode(requests=batch, context=context),) if batch else ()
    per_token = _chances(model, chance)
    tokens = _layer_tokens(model, prefill * prefill_requests, batch)[:, None]
    return Step(
        chunks=chunks,
        decode=decode,
        loads=per_token * tokens,
        touched=touch_chance(per_token, tokens),
    )


def _layer_tokens(model: MoEModel, prefill: int, decode: int) -> NDArray[np.float64]:
    """Tokens that pass each MoE layer, `[moe_layers]`: an encoder sees prompts, its decoder the
    rest; in other models every layer sees every token."""
    sides = [model.layers[i].side for i in model.moe_layers]
    if not model.two_stacks:
        return np.full(len(sides), float(prefill + decode))
    return np.array([float(prefill if side == "encoder" else decode) for side in sides])


def _chances(model: MoEModel, chance: NDArray[np.float64] | None) -> NDArray[np.float64]:
    blocks = [model.layers[i].ffn for i in model.moe_layers]
    width = max(block.count for block in blocks if isinstance(block, Experts))
    rows = np.zeros((len(blocks), width))
    for row, block in zip(rows, blocks, strict=True):
        assert isinstance(block, Experts)
        row[: block.count] = block.top_k / block.count
    if chance is None:
        return rows
    try:
        given = np.broadcast_to(np.asarray(chance, float), rows.shape)
    except ValueError:
        raise BadInput(
            f"needs the shape {rows.shape} or [{width}], got {np.shape(chance)}", key="chance"
        ) from None
    if given.min() < 0 or given.max() > 1 + 1e-9:
        raise BadInput("must lie between 0 and 1", key="chance")
    wanted = rows.sum(axis=1)
    if not np.allclose(given.sum(axis=1), wanted, rtol=1e-6):
        raise BadInput(
            f"must sum to top_k = {wanted[0]:g} in each layer, got {given.sum(axis=1)[0]:g}",
            key="chance",
        )
    return np.array(given)
