"""The operators of one layer: mixers, then a dense block or experts, with their collectives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import number_format
from ..workload import (
    Dense,
    ExpertMap,
    Experts,
    Gqa,
    Layer,
    LinearAttention,
    Mamba,
    Mla,
)
from . import attention
from .dense import elementwise, linear
from .experts import copy_touched, expert_matrices
from .links import expert_link, group_link, top_k_of
from .shards import Drafts, Shards
from .table import Floats

STATE_SIZE = 4
"""Bytes per element of a recurrent state: engines keep it in fp32."""


def layer_drafts(shards: Shards, layer: Layer, row: int | None, expert_map: ExpertMap) -> Drafts:
    """The operators of `layer` on the devices of a stage; `row` counts the MoE layers."""
    out = Drafts(shards.parallel.stage_devices, len(shards.system.tiers))
    tokens = shards.tokens(layer.side)
    for mixer in layer.mixers:
        _norm(out, shards, tokens)
        _MIXERS[type(mixer)](out, shards, mixer, layer.side)
        all_reduce(out, shards, tokens, "attention")
    _norm(out, shards, tokens)
    if isinstance(layer.ffn, Dense):
        _block(out, shards, tokens, "dense", layer.ffn.inter, layer.ffn.gated)
        all_reduce(out, shards, tokens, "dense")
    else:
        assert row is not None
        _experts(out, shards, layer.ffn, tokens, row, expert_map)
    return out


def size_of(shards: Shards, part: str) -> float:
    """Bytes per element of a part of the model: a field of its Formats."""
    return number_format(getattr(shards.model.formats, part)).bytes_per_element


def _linear(
    out: Drafts,
    shards: Shards,
    name: str,
    tokens: Floats,
    inputs: float,
    outputs: float,
    part: str = "weights",
    **more: Any,
) -> int:
    flops, weights, moved = linear(
        tokens, inputs, outputs, size_of(shards, part), size_of(shards, "activations")
    )
    dtype = getattr(shards.model.formats, part)
    return out.add(name, dtype, flops=flops, weights=weights, activations=moved, **more)


def _norm(out: Drafts, shards: Shards, tokens: Floats) -> None:
    """A norm with the residual added: reads two rows, writes two."""
    width = shards.model.hidden
    moved = elementwise(tokens, 2 * width, 2 * width, size_of(shards, "activations"))
    out.add("norm.residual", shards.model.formats.activations, activations=moved)


def all_reduce(
    out: Drafts, shards: Shards, tokens: Floats, part: str, kind: str = "all-reduce"
) -> None:
    """Joins the devices of a replica: sums their parts, or only gathers them."""
    if shards.parallel.tp == 1:
        return
    payload = tokens * shards.model.hidden * size_of(shards, "activations")
    link, latency_s = group_link(shards.system, shards.first, shards.parallel.tp, payload, kind)
    out.add(
        f"{kind}.{part}",
        shards.model.formats.activations,
        link=link,
        group="replica",
        latency_s=latency_s,
    )


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


def _gqa(out: Drafts, shards: Shards, mixer: Gqa, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads, kv_heads = mixer.heads / tp, -(-mixer.kv_heads // tp)
    window = mixer.window or 0
    keys = 2 * kv_heads * mixer.head_dim
    if mixer.cross:
        # Keys and values come from the encoder, once for each prompt.
        _linear(out, shards, "attention.qkv", tokens, width, heads * mixer.head_dim)
        written = shards.tokens("encoder")
        _linear(out, shards, "attention.cross_kv", written, width, keys)
    else:
        _linear(out, shards, "attention.qkv", tokens, width, heads * mixer.head_dim + keys)
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
    )
    _linear(out, shards, "attention.out", tokens, heads * mixer.head_dim, width)


def _mla(out: Drafts, shards: Shards, mixer: Mla, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads = mixer.heads / tp
    query = heads * (mixer.nope_dim + mixer.rope_dim)
    latent = mixer.kv_rank + mixer.rope_dim
    if mixer.q_rank is None:
        _linear(out, shards, "attention.qkv", tokens, width, query + latent)
    else:
        # The low-rank projections stand on every device; only heads are split.
        _linear(out, shards, "attention.qkv", tokens, width, mixer.q_rank + latent)
        _linear(out, shards, "attention.query", tokens, mixer.q_rank, query)
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
    )
    _linear(out, shards, "attention.out", tokens, heads * mixer.v_dim, width)


def _linear_attention(out: Drafts, shards: Shards, mixer: LinearAttention, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    heads = mixer.heads / tp
    inner = heads * mixer.head_dim
    # Queries, keys, values and the output gate.
    _linear(out, shards, "attention.qkv", tokens, width, 4 * inner)
    state = _requests(shards, side, lambda new, old: 1.0) * inner * mixer.head_dim * STATE_SIZE
    out.add(
        "attention.core",
        shards.model.formats.activations,
        flops=attention.linear_attention_core(tokens, heads, mixer.head_dim),
        kv=2 * state,  # read and written
        held=state,
        activations=elementwise(tokens, 4 * inner, inner, size_of(shards, "activations")),
    )
    _linear(out, shards, "attention.out", tokens, inner, width)


def _mamba(out: Drafts, shards: Shards, mixer: Mamba, side: str) -> None:
    tp, width = shards.parallel.tp, shards.model.hidden
    tokens = shards.tokens(side)
    inner = mixer.inner / tp
    _linear(out, shards, "mamba.in", tokens, width, 2 * inner)
    _linear(out, shards, "mamba.dt", tokens, inner, 2 * mixer.dt_rank + 2 * mixer.state)
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
    _linear(out, shards, "mamba.out", tokens, inner, width)


_MIXERS: dict[type, Callable[[Drafts, Shards, Any, str], None]] = {
    Gqa: _gqa,
    Mla: _mla,
    LinearAttention: _linear_attention,
    Mamba: _mamba,
}


def _block(
    out: Drafts,
    shards: Shards,
    tokens: Floats,
    name: str,
    inter: int,
    gated: bool,
    after: tuple[int, ...] | None = None,
) -> int:
    """A dense block or the shared experts, split over a replica."""
    width, part = shards.model.hidden, inter / shards.parallel.tp
    up = (2 if gated else 1) * part
    _linear(out, shards, f"{name}.gate_up", tokens, width, up, after=after)
    return _linear(out, shards, f"{name}.down", tokens, part, width)


def _experts(
    out: Drafts,
    shards: Shards,
    block: Experts,
    tokens: Floats,
    row: int,
    expert_map: ExpertMap,
) -> None:
    start = out.last
    parallel = shards.parallel
    _linear(
        out, shards, "router.gate", tokens, shards.model.hidden, block.count, "head", after=(start,)
    )
    apart = parallel.dp > 1  # the tokens of a stage lie on several replicas
    if apart:
        _exchange(out, shards, tokens, row, expert_map, "dispatch")
    arrived = out.last
    # Shared experts need no routing: they run while tokens travel.
    ends: list[int] = []
    for name, inter in (("shared", block.shared_inter), ("dense", block.dense_inter)):
        if inter:
            ends.append(_block(out, shards, tokens, name, inter, block.gated, (start,)))
    _routed(out, shards, block, row, expert_map, arrived)
    if apart:
        _exchange(out, shards, tokens, row, expert_map, "combine")
    size, width = size_of(shards, "activations"), shards.model.hidden
    share = tokens / parallel.tp
    out.add(
        "experts.combine",
        shards.model.formats.activations,
        flops=2.0 * share * block.top_k * width,
        activations=elementwise(share, block.top_k * width, width, size),
        after=(out.last, *ends),
    )
    # Where every device holds a part of every expert, the way back has added all parts already.
    partial = not apart or parallel.ep > 1 or len(ends) > 0
    all_reduce(out, shards, tokens, "experts", "all-reduce" if partial else "all-gather")


def _routed(
    out: Drafts, shards: Shards, block: Experts, row: int, expert_map: ExpertMap, arrived: int
) -> None:
    """The two grouped products of the routed experts on each device."""
    parallel, width = shards.parallel, shards.model.hidden
    rows, touched = rank_rows(shards, row, expert_map)
    inter = block.inter / parallel.expert_tp
    sizes = size_of(shards, "experts"), size_of(shards, "activations")
    per_expert = np.divide(rows, touched, out=np.zeros_like(rows), where=touched > 0)
    reached = float(touched.sum()) / parallel.expert_tp
    one_token = min(1.0, block.top_k / max(reached, 1e-30))
    for name, inputs, outputs in (
        ("experts.gate_up", width, (2 if block.gated else 1) * inter),
        ("experts.down", inter, width),
    ):
        flops, weights, moved = expert_matrices(rows, touched, inputs, outputs, *sizes)
        out.add(
            name,
            shards.model.formats.experts,
            flops=flops,
            weights=weights,
            activations=moved,
            rows=per_expert,
            token_weights=weights * one_token,
            after=(arrived,) if name == "experts.gate_up" else None,
        )


def rank_rows(shards: Shards, row: int, expert_map: ExpertMap) -> tuple[Floats, Floats]:
    """Rows and touched experts on each device of the stage in MoE layer `row`: both `[devices]`.

    The tokens of a replicated expert are dealt to its copies at random, evenly.
    """
    step, parallel = shards.step, shards.parallel
    slots = expert_map.slots[row]
    copies = np.bincount(slots, minlength=expert_map.experts)
    loads = step.loads[row]
    tokens = float(loads.sum()) / top_k_of(shards, row)
    per_copy = copy_touched(loads, step.touched[row], copies, tokens)
    rank = expert_map.ranks
    rows = np.bincount(rank, (loads / copies)[slots], minlength=parallel.ep)
    seen = np.bincount(rank, per_copy[slots], minlength=parallel.ep)
    each = parallel.expert_tp
    return rows.astype(float).repeat(each), seen.astype(float).repeat(each)


def _exchange(
    out: Drafts, shards: Shards, tokens: Floats, row: int, expert_map: ExpertMap, name: str
) -> None:
    """Tokens to their experts, or back: by expert where experts are spread, else all to all."""
    size = shards.model.hidden * size_of(shards, "activations")
    if shards.parallel.ep > 1:
        link, latency_s = expert_link(shards, row, expert_map)
    else:
        whole = np.full(tokens.size, tokens[:: shards.parallel.tp].sum() * size)
        link, latency_s = group_link(shards.system, shards.first, tokens.size, whole, "all-gather")
    out.add(
        f"{name}.experts",
        shards.model.formats.activations,
        link=link,
        group="stage",
        latency_s=latency_s,
    )
