"""The operators of each kind of mixer: projections in, the core with its cache, projection out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..workload import Gqa, LinearAttention, Mamba, Mla
from . import attention
from .dense import elementwise
from .pieces import product, size_of
from .shapes import Core
from .shards import Drafts, Shards
from .table import Floats

STATE_SIZE = 4
"""Bytes per element of a recurrent state: engines keep it in fp32."""


def _requests(shards: Shards, side: str, cost: Callable[[float, float], float]) -> Floats:
    """The sum over a device's requests of cost(new tokens, cached tokens): `[devices]`."""
    step = shards.step
    prompts, decodes = shards.prompts, shards.decodes
    per_prompt = [cost(chunk.tokens, chunk.cached) for chunk in step.chunks]
    per_decode = [cost(1, group.context) for group in step.decode]
    if shards.model.two_stacks:
        prompts = prompts * (side == "encoder")
        decodes = decodes * (side == "decoder")
    return np.asarray(np.array(per_prompt, float) @ prompts + np.array(per_decode, float) @ decodes)


def _core(shards: Shards, side: str, window: int = 0, **more: Any) -> Core:
    """The attention of a device's requests, kind by kind: prompts, then decoding ones."""
    step = shards.step
    prompts, decodes = shards.prompts, shards.decodes
    if shards.model.two_stacks:
        prompts = prompts * (side == "encoder")
        decodes = decodes * (side == "decoder")
    kinds = [(chunk.tokens, chunk.cached) for chunk in step.chunks]
    kinds += [(1, group.context) for group in step.decode]
    return Core(
        new=np.array([new for new, _ in kinds], float),
        cached=np.array([attention.keys_read(new, old, window) for new, old in kinds], float),
        requests=np.concatenate([prompts, decodes]),
        kv_size=size_of(shards, "kv"),
        **more,
    )


def _gqa(out: Drafts, shards: Shards, mixer: Gqa, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads, kv_heads = mixer.heads / tp, -(-mixer.kv_heads // tp)
    window = mixer.window or 0
    keys = 2 * kv_heads * mixer.head_dim
    if mixer.cross:
        # Keys and values come from the encoder, once for each prompt.
        product(out, shards, "attention.qkv", tokens, width, heads * mixer.head_dim)
        written = shards.tokens("encoder")
        product(out, shards, "attention.cross_kv", written, width, keys)
    else:
        product(out, shards, "attention.qkv", tokens, width, heads * mixer.head_dim + keys)
        written = tokens
    # A cross query sees the encoder's keys alone, and those are the context of a decoding request.
    pairs = _requests(
        shards,
        side,
        lambda new, old: (
            new * old if mixer.cross else attention.chunk_pairs(new, old, window, mixer.causal)
        ),
    )
    read = _requests(shards, side, lambda new, old: attention.keys_read(new, old, window))
    if mixer.cross:
        held = read + written
    else:
        held = _requests(shards, side, lambda new, old: attention.keys_held(new, old, window))
        held = held * mixer.causal  # what sees both ways is never decoded: nothing is kept
    out.add(
        "attention.core",
        shards.model.formats.activations,
        flops=attention.gqa_core(pairs, heads, mixer.head_dim),
        kv=(read + written) * keys * size_of(shards, "kv"),
        held=held * keys * size_of(shards, "kv"),
        activations=elementwise(
            tokens, heads * mixer.head_dim, heads * mixer.head_dim, size_of(shards, "activations")
        ),
        shape=None
        if mixer.cross
        else _core(
            shards,
            side,
            window,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=mixer.head_dim,
            value_dim=mixer.head_dim,
            causal=mixer.causal,
        ),
    )
    product(out, shards, "attention.out", tokens, heads * mixer.head_dim, width)


def _mla(out: Drafts, shards: Shards, mixer: Mla, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads = mixer.heads / tp
    query = heads * (mixer.nope_dim + mixer.rope_dim)
    latent = mixer.kv_rank + mixer.rope_dim
    if mixer.q_rank is None:
        product(out, shards, "attention.qkv", tokens, width, query + latent)
    else:
        # The low-rank projections stand on every device; only heads are split.
        product(out, shards, "attention.qkv", tokens, width, mixer.q_rank + latent)
        product(out, shards, "attention.query", tokens, mixer.q_rank, query)
    flops = _requests(
        shards,
        side,
        lambda new, old: attention.mla_core(
            new,
            old,
            attention.chunk_pairs(new, old, 0, mixer.causal),
            heads,
            mixer.kv_rank,
            mixer.nope_dim,
            mixer.rope_dim,
            mixer.v_dim,
        ),
    )
    read = _requests(shards, side, lambda new, old: attention.keys_read(new, old, 0))
    expand = mixer.kv_rank * heads * (mixer.nope_dim + mixer.v_dim) * size_of(shards, "weights")
    out.add(
        "attention.core",
        shards.model.formats.activations,
        flops=flops,
        weights=(tokens > 0) * expand,
        kv=(read + tokens) * latent * size_of(shards, "kv"),
        held=(read + tokens) * latent * size_of(shards, "kv"),
        activations=elementwise(tokens, query, heads * mixer.v_dim, size_of(shards, "activations")),
        shape=_core(
            shards,
            side,
            heads=heads,
            kv_heads=1.0,
            head_dim=mixer.nope_dim + mixer.rope_dim,
            value_dim=mixer.v_dim,
            latent=mixer.kv_rank,
            rope_dim=mixer.rope_dim,
        ),
    )
    product(out, shards, "attention.out", tokens, heads * mixer.v_dim, width)


def _linear_attention(out: Drafts, shards: Shards, mixer: LinearAttention, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads = mixer.heads / tp
    inner = heads * mixer.head_dim
    # Queries, keys, values and the output gate.
    product(out, shards, "attention.qkv", tokens, width, 4 * inner)
    state = _requests(shards, side, lambda new, old: 1.0) * inner * mixer.head_dim * STATE_SIZE
    out.add(
        "attention.core",
        shards.model.formats.activations,
        flops=attention.linear_attention_core(tokens, heads, mixer.head_dim),
        kv=2 * state,  # read and written
        held=state,
        activations=elementwise(tokens, 4 * inner, inner, size_of(shards, "activations")),
    )
    product(out, shards, "attention.out", tokens, inner, width)


def _mamba(out: Drafts, shards: Shards, mixer: Mamba, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    inner = mixer.inner / tp
    product(out, shards, "mamba.in", tokens, width, 2 * inner)
    product(out, shards, "mamba.dt", tokens, inner, 2 * mixer.dt_rank + 2 * mixer.state)
    each = inner * (mixer.state + mixer.conv) * STATE_SIZE
    state = _requests(shards, side, lambda new, old: 1.0) * each
    out.add(
        "mamba.core",
        shards.model.formats.activations,
        flops=attention.mamba_core(tokens, inner, mixer.state, mixer.conv),
        kv=2 * state,  # read and written
        held=state,
        activations=elementwise(tokens, 2 * inner, inner, size_of(shards, "activations")),
    )
    product(out, shards, "mamba.out", tokens, inner, width)


MIXERS: dict[type, Callable[[Drafts, Shards, Any, str], None]] = {
    Gqa: _gqa,
    Mla: _mla,
    LinearAttention: _linear_attention,
    Mamba: _mamba,
}
