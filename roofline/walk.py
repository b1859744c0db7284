"""The compiled walk of `points`: `operators` and `bound` again, on the first device of each stage.

Under uniform routing that device has the most requests and experts, so it is the critical one.
Each function mirrors one of `mixers`, `pieces`, `layers` or `prices`; a property test holds both
paths equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit, prange

from . import attention as plain
from .dense import linear as plain_linear
from .mixers import STATE_SIZE
from .setups import GQA, LINEAR, MLA

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function compiled at its first call; the result is kept on disk."""
    return cast(F, njit(cache=True)(function))


chunk_pairs = compiled(plain.chunk_pairs)
keys_read = compiled(plain.keys_read)
keys_held = compiled(plain.keys_held)
gqa_core = compiled(plain.gqa_core)
mla_core = compiled(plain.mla_core)
linear_attention_core = compiled(plain.linear_attention_core)
mamba_core = compiled(plain.mamba_core)
linear = compiled(plain_linear)

TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY = range(7)
PEAK_WEIGHTS, PEAK_EXPERTS, PEAK_HEAD, PEAK_ACTIVATIONS = range(4)


class Walk(NamedTuple):
    """A point under way. s: its record of `SETUP`; units: of `UNIT`. context, prefill, cached: of
    each request. spent: seconds by resource; memory: bytes of cache held, and of the largest
    operator's activations. Both are added to."""

    s: Any
    units: Any
    context: float
    prefill: float
    cached: float
    spent: Any
    memory: Any


@compiled
def _peak(unit: Any, part: int) -> Any:
    if part == PEAK_WEIGHTS:
        return unit.peak_weights
    if part == PEAK_EXPERTS:
        return unit.peak_experts
    if part == PEAK_HEAD:
        return unit.peak_head
    return unit.peak_activations


@compiled
def _spend(
    at: Walk, part: int, flops: float, weights: float, activations: float, kv: float, times: float
) -> None:
    """Adds `times` runs of an operator on the faster unit."""
    best, chosen = math.inf, 0
    for u in range(int(at.s.units)):
        unit = at.units[u]
        spilled = 0.0 if activations <= unit.cache else activations
        moved = (weights + kv + spilled) / unit.bandwidth
        cached = (weights + kv + activations) / unit.cache_bandwidth
        total = max(max(flops / _peak(unit, part), moved), cached)
        if total < best:
            best, chosen = total, u
    unit, spent = at.units[chosen], at.spent
    spilled = 0.0 if activations <= unit.cache else activations
    moved = (weights + kv + spilled) / unit.bandwidth
    if flops / _peak(unit, part) >= moved and flops / _peak(unit, part) >= best:
        spent[TENSOR] += times * best
    elif best > moved:
        spent[CACHE] += times * best
    else:
        spent[WEIGHTS] += times * weights / unit.bandwidth
        spent[KV] += times * kv / unit.bandwidth
        spent[ACTIVATIONS] += times * spilled / unit.bandwidth
    at.memory[1] = max(at.memory[1], activations)


@compiled
def _product(
    at: Walk, part: int, tokens: float, inputs: float, outputs: float, size: float, times: float
) -> None:
    flops, weights, moved = linear(tokens, inputs, outputs, size, at.s.size_activations)
    _spend(at, part, flops, weights, moved, 0.0, times)


@compiled
def _weights(at: Walk, tokens: float, inputs: float, outputs: float, times: float) -> None:
    _product(at, PEAK_WEIGHTS, tokens, inputs, outputs, at.s.size_weights, times)


@compiled
def _join(at: Walk, tokens: float, share: float, times: float) -> None:
    """An all-reduce among the devices of a replica (share 1), or an all-gather (share 1/2)."""
    if at.s.tp > 1 and tokens > 0:
        payload = tokens * at.s.hidden * at.s.size_activations
        at.spent[LINK] += times * payload * at.s.reduce_s_per_byte * share
        at.spent[LATENCY] += times * at.s.reduce_latency


@compiled
def _norm(at: Walk, tokens: float, times: float) -> None:
    moved = tokens * 4 * at.s.hidden * at.s.size_activations
    _spend(at, PEAK_ACTIVATIONS, 0.0, 0.0, moved, 0.0, times)


@compiled
def _mixer(
    at: Walk, m: Any, tokens: float, written: float, prompts: float, decodes: float, times: float
) -> None:
    """A mixer on one device. written: tokens whose keys a cross-attention makes."""
    if m.kind == GQA:
        width, inputs, outputs, flops, kv, held, weights = _gqa(
            at, m, tokens, written, prompts, decodes, times
        )
    elif m.kind == MLA:
        width, inputs, outputs, flops, kv, held, weights = _mla(
            at, m, tokens, prompts, decodes, times
        )
    else:
        width, inputs, outputs, flops, kv, held, weights = _recurrent(
            at, m, tokens, prompts + decodes, times
        )
    moved = tokens * (inputs + outputs) * at.s.size_activations
    _spend(at, PEAK_ACTIVATIONS, flops, weights, moved, kv, times)
    at.memory[0] += times * held
    _weights(at, tokens, outputs, width, times)


@compiled
def _gqa(
    at: Walk, m: Any, tokens: float, written: float, prompts: float, decodes: float, times: float
) -> Any:
    """Projects; returns hidden width, rows in and out of the core, its flops and bytes."""
    s, window = at.s, m.window
    inner, keys = m.heads / s.tp * m.head_dim, 2 * math.ceil(m.kv_heads / s.tp) * m.head_dim
    read = prompts * keys_read(at.prefill, at.cached, window)
    read += decodes * keys_read(1.0, at.context, window)
    if m.cross > 0:
        _weights(at, tokens, s.hidden, inner, times)
        _weights(at, written, s.hidden, keys, times)
        pairs = prompts * at.prefill * at.cached + decodes * at.context
        held = read + written
    else:
        _weights(at, tokens, s.hidden, inner + keys, times)
        pairs = prompts * chunk_pairs(at.prefill, at.cached, window, m.causal)
        pairs += decodes * chunk_pairs(1.0, at.context, window, m.causal)
        held = prompts * keys_held(at.prefill, at.cached, window)
        held = (held + decodes * keys_held(1.0, at.context, window)) * m.causal
        written = tokens
    size = keys * s.size_kv
    flops = gqa_core(pairs, m.heads / s.tp, m.head_dim)
    return s.hidden, inner, inner, flops, (read + written) * size, held * size, 0.0


@compiled
def _mla(at: Walk, m: Any, tokens: float, prompts: float, decodes: float, times: float) -> Any:
    s = at.s
    heads = m.heads / s.tp
    query, latent = heads * (m.nope_dim + m.rope_dim), m.kv_rank + m.rope_dim
    if m.q_rank > 0:
        _weights(at, tokens, s.hidden, m.q_rank + latent, times)
        _weights(at, tokens, m.q_rank, query, times)
    else:
        _weights(at, tokens, s.hidden, query + latent, times)
    flops = 0.0
    for new, old, requests in ((at.prefill, at.cached, prompts), (1.0, at.context, decodes)):
        if requests > 0:
            pairs = chunk_pairs(new, old, 0.0, m.causal)
            flops += requests * mla_core(
                new, old, pairs, heads, m.kv_rank, m.nope_dim, m.rope_dim, m.v_dim
            )
    expand = (tokens > 0) * (m.kv_rank * heads * (m.nope_dim + m.v_dim) * s.size_weights)
    kv = (prompts * at.cached + decodes * at.context + tokens) * latent * s.size_kv
    return s.hidden, query, heads * m.v_dim, flops, kv, kv, expand


@compiled
def _recurrent(at: Walk, m: Any, tokens: float, requests: float, times: float) -> Any:
    s = at.s
    if m.kind == LINEAR:
        heads = m.heads / s.tp
        inner = heads * m.head_dim
        inputs, state = 4 * inner, inner * m.head_dim
        flops = linear_attention_core(tokens, heads, m.head_dim)
        _weights(at, tokens, s.hidden, inputs, times)
    else:
        inner = m.inner / s.tp
        inputs, state = 2 * inner, inner * (m.state + m.conv)
        flops = mamba_core(tokens, inner, m.state, m.conv)
        _weights(at, tokens, s.hidden, inputs, times)
        _weights(at, tokens, inner, 2 * m.dt_rank + 2 * m.state, times)
    held = requests * state * STATE_SIZE
    return s.hidden, inputs, inner, flops, 2 * held, held, 0.0


@compiled
def _exchange(at: Walk, prompts: float, decodes: float, to: Any) -> Any:
    """Seconds and latency of sending tokens to their experts; the way back takes as long.

    prompts, decodes: requests of the step, over all replicas. to: chance, others, inner, outer
    and rate of `Flat`.
    """
    s = at.s
    chance, others, inner, outer, rate = to
    size = s.hidden * s.size_activations
    if s.ep == 1:
        seconds = (prompts * at.prefill + decodes) * size * s.gather_stage_s_per_byte
        return seconds, s.gather_stage_latency * (seconds > 0)
    n, worst = int(s.tp * s.dp), 0.0
    for t in range(int(s.tiers)):
        last = min(n, outer[t])
        block = max(inner[t], int(s.tp))
        joined = _sent(at, prompts, decodes, 0, last)
        for start in range(0, last, inner[t]):
            stop = min(last, start + inner[t])
            own = start // block * block
            near = _sent(at, prompts, decodes, own, min(last, own + block))
            received = max(0.0, joined - near) * chance[t, start] / (stop - start)
            # Replicas that come first have the most tokens, so the first device of a unit.
            most = _sent(at, prompts, decodes, start, start + 1)
            worst = max(worst, max(most * others[t, start], received) / rate[t])
    return worst * size, s.exchange_latency * (worst > 0)


@compiled
def _sent(at: Walk, prompts: float, decodes: float, start: int, stop: int) -> Any:
    """Tokens that devices start..stop-1 send, each its share of its replica's.

    The run lies inside one replica or consists of whole ones (`regular` sees to it).
    """
    tp, dp = int(at.s.tp), at.s.dp
    first, last = start // tp, max(stop // tp, start // tp + 1)
    dealt = _dealt(prompts, dp, first, last) * at.prefill + _dealt(decodes, dp, first, last)
    return dealt * min(1.0, (stop - start) / tp)


@compiled
def _dealt(requests: float, hands: float, first: int, last: int) -> Any:
    """Requests of the hands first..last-1 when they are dealt in turn."""
    each = requests // hands
    more = requests - each * hands
    return each * (last - first) + max(0.0, min(float(last), more) - first)


@compiled
def _routed(
    at: Walk, layer: Any, tokens: float, all_tokens: float, exchange: Any, times: float
) -> None:
    """Experts of one layer: router, shared, exchange, the two grouped products, combine."""
    s, a = at.s, at.s.size_activations
    _product(at, PEAK_HEAD, tokens, s.hidden, layer.experts, s.size_head, times)
    partial = s.dp == 1 or s.ep > 1
    for inter in (layer.shared_inter, layer.beside_inter):
        if inter > 0:
            _block(at, layer, inter, tokens, times)
            partial = True
    at.spent[LINK] += times * 2 * exchange[0]
    at.spent[LATENCY] += times * 2 * exchange[1]
    per_token = layer.top_k / layer.experts
    rows = all_tokens * per_token * s.local_experts
    if per_token < 1:
        touched = -math.expm1(all_tokens * math.log1p(-per_token)) * s.local_experts
    else:
        touched = (all_tokens > 0) * s.local_experts
    part = layer.expert_inter / s.expert_tp
    for inputs, outputs in ((s.hidden, layer.matrices_in * part), (part, s.hidden)):
        weights = touched * inputs * outputs * s.size_experts
        moved = rows * (inputs + outputs) * a
        _spend(at, PEAK_EXPERTS, 2.0 * rows * inputs * outputs, weights, moved, 0.0, times)
    mine = tokens / s.tp * s.hidden
    flops, moved = 2.0 * mine * layer.top_k, mine * (layer.top_k + 1) * a
    _spend(at, PEAK_ACTIVATIONS, flops, 0.0, moved, 0.0, times)
    _join(at, tokens, 1.0 if partial else 0.5, times)


@compiled
def _block(at: Walk, layer: Any, inter: float, tokens: float, times: float) -> None:
    part = inter / at.s.tp
    _weights(at, tokens, at.s.hidden, layer.matrices_in * part, times)
    _weights(at, tokens, part, at.s.hidden, times)


@compiled
def _layer(
    at: Walk, layer: Any, mixers: Any, requests: float, batch: float, to: Any, times: float
) -> None:
    """A layer that stands `times` times; its side of the model decides which tokens it sees."""
    s = at.s
    all_prompts = 0.0 if s.two_stacks > 0 and layer.encoder == 0 else requests
    all_decodes = 0.0 if s.two_stacks > 0 and layer.encoder > 0 else batch
    prompts, decodes = math.ceil(all_prompts / s.dp), math.ceil(all_decodes / s.dp)
    tokens, written = prompts * at.prefill + decodes, math.ceil(requests / s.dp) * at.prefill
    for j in range(int(layer.mixers)):
        _norm(at, tokens, times)
        _mixer(at, mixers[j], tokens, written, prompts, decodes, times)
        _join(at, tokens, 1.0, times)
    _norm(at, tokens, times)
    if layer.experts > 0:
        exchange = (0.0, 0.0)
        if s.dp > 1:
            exchange = _exchange(at, all_prompts, all_decodes, to)
        _routed(at, layer, tokens, all_prompts * at.prefill + all_decodes, exchange, times)
    else:
        _block(at, layer, layer.dense_inter, tokens, times)
        _join(at, tokens, 1.0, times)


@compiled
def _edges(at: Walk, prompts: float, decodes: float) -> None:
    """Embedding, output head, and the way from stage to stage."""
    s, a = at.s, at.s.size_activations
    tokens = prompts * at.prefill + decodes
    if s.vocab > 0:
        moved = tokens * s.hidden
        _spend(at, PEAK_ACTIVATIONS, 0.0, moved / s.tp * s.size_head, moved * a, 0.0, 1.0)
        _join(at, tokens, 1.0, 1.0)
        outputs = decodes if s.two_stacks > 0 else prompts + decodes
        _product(at, PEAK_HEAD, outputs, s.hidden, s.vocab / s.tp, s.size_head, 1.0)
        _join(at, outputs * s.vocab / s.hidden, 0.5, 1.0)
    if s.stages > 1:
        at.spent[LINK] += tokens / s.tp * s.hidden * a * s.send_s_per_byte
        at.spent[LATENCY] += s.send_latency * (tokens > 0)


def _walk(
    which: Any, batch: Any, context: Any, prefill: Any, cached: Any, prefill_requests: Any,
    setup: Any, unit: Any, layer: Any, mixer: Any, counts: Any, resident: Any, capacity: Any,
    chance: Any, others: Any, inner: Any, outer: Any, rate: Any,
    seconds: Any, by_resource: Any, spare: Any,
) -> None:  # fmt: skip
    """Fills seconds, by_resource and spare of every point whose setup is not -1."""
    for p in prange(which.size):
        k = which[p]
        if k < 0:
            continue
        s = setup[k]
        requests = prefill_requests[p] if prefill[p] > 0 else 0.0
        to = (chance[k], others[k], inner[k], outer[k], rate[k])
        spent, tightest = np.zeros(7), np.inf
        for stage in range(int(s.stages)):
            memory = np.zeros(2)
            at = Walk(s, unit[k], context[p], prefill[p], cached[p], spent, memory)
            for g in range(int(s.groups)):
                if counts[k, stage, g] > 0:
                    _layer(
                        at, layer[k, g], mixer[k, g], requests, batch[p], to, counts[k, stage, g]
                    )
            if stage == int(s.stages) - 1:
                _edges(at, math.ceil(requests / s.dp), math.ceil(batch[p] / s.dp))
            left = capacity[k, stage] - resident[k, stage] - memory[0] - memory[1]
            tightest = min(tightest, left)
        seconds[p] = spent.sum()
        by_resource[p] = spent
        spare[p] = tightest


walk = njit(cache=True, parallel=True)(_walk)
