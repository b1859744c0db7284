"""The compiled walk of `points`: `layers` and `bound` again, on the first device of each stage.

Under uniform routing that device has the most requests and experts, so it is the critical one.
Each function mirrors one of `layers`; a property test holds both paths equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, prange

from . import attention as plain
from .dense import linear as plain_linear
from .layers import STATE_SIZE
from .setups import GQA, LINEAR, MLA

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function compiled at its first call; the result is kept on disk."""
    return cast(F, njit(cache=True)(function))


def in_parallel(function: F) -> F:
    """The same, with `prange` shared by all cores."""
    return cast(F, njit(cache=True, parallel=True)(function))


chunk_pairs = compiled(plain.chunk_pairs)
keys_read = compiled(plain.keys_read)
gqa_core = compiled(plain.gqa_core)
mla_core = compiled(plain.mla_core)
linear_attention_core = compiled(plain.linear_attention_core)
mamba_core = compiled(plain.mamba_core)
linear = compiled(plain_linear)

TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY = range(7)
PEAK_WEIGHTS, PEAK_EXPERTS, PEAK_HEAD, PEAK_ACTIVATIONS = range(4)


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
    units: Any, count: int, part: int,
    flops: float, weights: float, activations: float, kv: float,
    times: float, spent: Any, memory: Any,
) -> None:  # fmt: skip
    """Adds `times` runs of an operator on its faster unit to `spent`, its bytes to `memory`."""
    best, chosen = math.inf, 0
    for u in range(count):
        unit = units[u]
        spilled = 0.0 if activations <= unit.cache else activations
        moved = (weights + kv + spilled) / unit.bandwidth
        cached = (weights + kv + activations) / unit.cache_bandwidth
        total = max(max(flops / _peak(unit, part), moved), cached)
        if total < best:
            best, chosen = total, u
    unit = units[chosen]
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
    memory[0] += times * kv
    memory[1] = max(memory[1], activations)


@compiled
def _product(
    units: Any, count: int, part: int, tokens: float, inputs: float, outputs: float,
    size: float, s: Any, times: float, spent: Any, memory: Any,
) -> None:  # fmt: skip
    flops, weights, moved = linear(tokens, inputs, outputs, size, s.size_activations)
    _spend(units, count, part, flops, weights, moved, 0.0, times, spent, memory)


@compiled
def _mixer(
    m: Any, s: Any, units: Any, asked: Any, tokens: float, encoder_tokens: float,
    prompts: float, decodes: float, times: float, spent: Any, memory: Any,
) -> None:  # fmt: skip
    """A mixer on one device: its projections and its core."""
    count, width, tp = int(s.units), s.hidden, s.tp
    a, w = s.size_activations, s.size_weights
    context, prefill, cached = asked
    flops = kv = weights = 0.0
    if m.kind == GQA:
        heads, keys = m.heads / tp, 2 * max(1.0, m.kv_heads // tp) * m.head_dim
        if m.cross > 0:
            _product(units, count, 0, tokens, width, heads * m.head_dim, w, s, times, spent, memory)
            _product(units, count, 0, encoder_tokens, width, keys, w, s, times, spent, memory)
            written = encoder_tokens
        else:
            outputs = heads * m.head_dim + keys
            _product(units, count, 0, tokens, width, outputs, w, s, times, spent, memory)
            written = tokens
        pairs = prompts * chunk_pairs(prefill, cached, m.window, m.causal) + decodes * chunk_pairs(
            1.0, context, m.window, m.causal
        )
        read = prompts * keys_read(prefill, cached, m.window) + decodes * keys_read(
            1.0, context, m.window
        )
        flops, kv = gqa_core(pairs, heads, m.head_dim), (read + written) * keys * s.size_kv
        inputs = outputs = heads * m.head_dim
    elif m.kind == MLA:
        heads = m.heads / tp
        query, latent = heads * (m.nope_dim + m.rope_dim), m.kv_rank + m.rope_dim
        if m.q_rank > 0:
            down = m.q_rank + latent
            _product(units, count, 0, tokens, width, down, w, s, times, spent, memory)
            _product(units, count, 0, tokens, m.q_rank, query, w, s, times, spent, memory)
        else:
            _product(units, count, 0, tokens, width, query + latent, w, s, times, spent, memory)
        for new, old, requests in ((prefill, cached, prompts), (1.0, context, decodes)):
            if requests > 0:
                flops += requests * mla_core(
                    new, old, chunk_pairs(new, old, 0.0, m.causal), heads,
                    m.kv_rank, m.nope_dim, m.rope_dim, m.v_dim,
                )  # fmt: skip
        weights = (tokens > 0) * (m.kv_rank * heads * (m.nope_dim + m.v_dim) * w)
        read = prompts * cached + decodes * context
        kv = (read + tokens) * latent * s.size_kv
        inputs, outputs = query, heads * m.v_dim
    elif m.kind == LINEAR:
        heads = m.heads / tp
        outputs = heads * m.head_dim
        inputs = 4 * outputs
        _product(units, count, 0, tokens, width, inputs, w, s, times, spent, memory)
        flops = linear_attention_core(tokens, heads, m.head_dim)
        kv = (prompts + decodes) * 2 * outputs * m.head_dim * STATE_SIZE
    else:
        outputs = m.inner / tp
        inputs = 2 * outputs
        _product(units, count, 0, tokens, width, inputs, w, s, times, spent, memory)
        ranks = 2 * m.dt_rank + 2 * m.state
        _product(units, count, 0, tokens, outputs, ranks, w, s, times, spent, memory)
        flops = mamba_core(tokens, outputs, m.state, m.conv)
        kv = (prompts + decodes) * 2 * outputs * (m.state + m.conv) * STATE_SIZE
    moved = tokens * (inputs + outputs) * a
    _spend(units, count, PEAK_ACTIVATIONS, flops, weights, moved, kv, times, spent, memory)
    _product(units, count, 0, tokens, outputs, width, w, s, times, spent, memory)


@compiled
def _join(s: Any, tokens: float, share: float, times: float, spent: Any) -> None:
    """An all-reduce among the devices of a replica (share 1), or an all-gather (share 1/2)."""
    if s.tp > 1:
        payload = tokens * s.hidden * s.size_activations
        spent[LINK] += times * payload * s.reduce_s_per_byte * share
        if payload > 0:
            spent[LATENCY] += times * s.reduce_latency


@compiled
def _exchange(
    s: Any, asked: Any, prompts: float, decodes: float, chance: Any, others: Any, inner: Any,
    outer: Any, rate: Any,
) -> Any:  # fmt: skip
    """Seconds and latency of sending tokens to their experts; the way back takes as long.

    prompts, decodes: requests of the step, over all replicas.
    """
    size = s.hidden * s.size_activations
    if s.ep == 1:
        everyone = prompts * asked[1] + decodes
        seconds = everyone * size * s.gather_stage_s_per_byte
        return seconds, s.gather_stage_latency * (seconds > 0)
    n = int(s.tp * s.dp)
    worst = 0.0
    for t in range(int(s.tiers)):
        for first in range(0, n, outer[t]):
            last = min(n, first + outer[t])
            joined = _sent(s, asked, prompts, decodes, first, last)
            for start in range(first, last, inner[t]):
                stop = min(last, start + inner[t])
                own = _sent(s, asked, prompts, decodes, start, stop)
                received = (joined - own) * chance[t, start] / (stop - start)
                # Replicas that come first have the most tokens, so the first device of a unit.
                most = _sent(s, asked, prompts, decodes, start, start + 1)
                worst = max(worst, max(most * others[t, start], received) / rate[t])
    return worst * size, s.exchange_latency * (worst > 0)


@compiled
def _sent(
    s: Any, asked: Any, prompts: float, decodes: float, start: int, stop: int
) -> Any:  # fmt: skip
    """Tokens that devices start..stop-1 send, each its share of its replica's.

    The run lies inside one replica or consists of whole ones (`regular` sees to it).
    """
    tp = int(s.tp)
    first, last = start // tp, max(stop // tp, start // tp + 1)
    total = 0.0
    for replica in range(first, last):
        total += _dealt(prompts, s.dp, replica) * asked[1] + _dealt(decodes, s.dp, replica)
    return total * min(1.0, (stop - start) / s.tp)


@compiled
def _dealt(requests: Any, hands: Any, hand: int) -> Any:
    """Requests of one hand when they are dealt in turn."""
    each = requests // hands
    return each + (hand < requests - each * hands)


@compiled
def _routed(
    layer: Any, s: Any, units: Any, tokens: float, all_tokens: float, exchange: Any,
    times: float, spent: Any, memory: Any,
) -> None:  # fmt: skip
    """Experts of one layer: shared, router, exchange, the two grouped products, combine."""
    count, width, tp, a = int(s.units), s.hidden, s.tp, s.size_activations
    partial = s.dp == 1
    for inter in (layer.shared_inter, layer.beside_inter):
        if inter > 0:
            _block(units, count, layer, s, inter, tokens, times, spent, memory)
            partial = True
    _product(
        units, count, PEAK_HEAD, tokens, width, layer.experts, s.size_head, s, times, spent, memory
    )
    spent[LINK] += times * 2 * exchange[0]
    spent[LATENCY] += times * 2 * exchange[1]
    per_token = layer.top_k / layer.experts
    rows = all_tokens * per_token * s.local_experts
    if per_token < 1:
        touched = -math.expm1(all_tokens * math.log1p(-per_token)) * s.local_experts
    else:
        touched = (all_tokens > 0) * s.local_experts
    part = layer.expert_inter / s.expert_tp
    for inputs, outputs in ((width, layer.matrices_in * part), (part, width)):
        _spend(
            units, count, PEAK_EXPERTS, 2.0 * rows * inputs * outputs,
            touched * inputs * outputs * s.size_experts, rows * (inputs + outputs) * a, 0.0,
            times, spent, memory,
        )  # fmt: skip
    mine = tokens / tp
    _spend(
        units, count, PEAK_ACTIVATIONS, 2.0 * mine * layer.top_k * width, 0.0,
        mine * (layer.top_k + 1) * width * a, 0.0, times, spent, memory,
    )  # fmt: skip
    _join(s, tokens, 1.0 if partial else 0.5, times, spent)


@compiled
def _block(
    units: Any, count: int, layer: Any, s: Any, inter: float, tokens: float, times: float,
    spent: Any, memory: Any,
) -> None:  # fmt: skip
    part, w = inter / s.tp, s.size_weights
    up = layer.matrices_in * part
    _product(units, count, 0, tokens, s.hidden, up, w, s, times, spent, memory)
    _product(units, count, 0, tokens, part, s.hidden, w, s, times, spent, memory)


@compiled
def _edges(
    s: Any, units: Any, prefill_tokens: float, prompts: float, decodes: float, spent: Any,
    memory: Any,
) -> None:  # fmt: skip
    """Embedding, output head, and the way from stage to stage."""
    count, width, tp, a = int(s.units), s.hidden, s.tp, s.size_activations
    tokens = prefill_tokens + decodes
    if s.vocab > 0:
        moved = tokens * width
        _spend(
            units, count, PEAK_ACTIVATIONS, 0.0, moved / tp * s.size_head, moved * a, 0.0, 1.0,
            spent, memory,
        )  # fmt: skip
        outputs = decodes if s.two_stacks > 0 else prompts + decodes
        _product(
            units, count, PEAK_HEAD, outputs, width, s.vocab / tp, s.size_head, s, 1.0, spent,
            memory,
        )  # fmt: skip
        if tp > 1:
            payload = outputs * s.vocab * a
            spent[LINK] += payload * s.reduce_s_per_byte / 2
            spent[LATENCY] += s.reduce_latency * (payload > 0)
    if s.stages > 1:
        sent = decodes if s.two_stacks > 0 else tokens
        spent[LINK] += sent / tp * width * a * s.send_s_per_byte
        spent[LATENCY] += s.send_latency * (sent > 0)


@compiled
def _layer(
    rec: Any, mixers: Any, s: Any, units: Any, asked: Any, requests: float, batch: float,
    chance: Any, others: Any, inner: Any, outer: Any, rate: Any,
    times: float, spent: Any, memory: Any,
) -> None:  # fmt: skip
    """A layer that stands `times` times; its side of the model decides which tokens it sees."""
    own_prompts = 0.0 if s.two_stacks > 0 and rec.encoder == 0 else 1.0
    own_decodes = 0.0 if s.two_stacks > 0 and rec.encoder > 0 else 1.0
    count, all_prompts = int(s.units), math.ceil(requests / s.dp)
    prompts, decodes = own_prompts * all_prompts, own_decodes * math.ceil(batch / s.dp)
    tokens = prompts * asked[1] + decodes
    norm = tokens * 4 * s.hidden * s.size_activations
    for j in range(int(rec.mixers)):
        _spend(units, count, 3, 0.0, 0.0, norm, 0.0, times, spent, memory)
        _mixer(
            mixers[j], s, units, asked, tokens, all_prompts * asked[1], prompts, decodes,
            times, spent, memory,
        )  # fmt: skip
        _join(s, tokens, 1.0, times, spent)
    _spend(units, count, 3, 0.0, 0.0, norm, 0.0, times, spent, memory)
    if rec.experts > 0:
        exchange = (0.0, 0.0)
        if s.dp > 1:
            exchange = _exchange(
                s, asked, own_prompts * requests, own_decodes * batch, chance, others, inner,
                outer, rate,
            )  # fmt: skip
        everyone = own_prompts * requests * asked[1] + own_decodes * batch
        _routed(rec, s, units, tokens, everyone, exchange, times, spent, memory)
    else:
        _block(units, count, rec, s, rec.dense_inter, tokens, times, spent, memory)
        _join(s, tokens, 1.0, times, spent)


@in_parallel
def walk(
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
        s, units = setup[k], unit[k]
        requests = prefill_requests[p] if prefill[p] > 0 else 0.0
        asked = (context[p], prefill[p], cached[p])
        spent = np.zeros(7)
        tightest = np.inf
        for stage in range(int(s.stages)):
            memory = np.zeros(2)
            for g in range(int(s.groups)):
                if counts[k, stage, g] > 0:
                    _layer(
                        layer[k, g], mixer[k, g], s, units, asked, requests, batch[p],
                        chance[k], others[k], inner[k], outer[k], rate[k],
                        counts[k, stage, g], spent, memory,
                    )  # fmt: skip
            if stage == int(s.stages) - 1:
                prompts, decodes = math.ceil(requests / s.dp), math.ceil(batch[p] / s.dp)
                _edges(s, units, prompts * prefill[p], prompts, decodes, spent, memory)
            left = capacity[k, stage] - resident[k, stage] - memory[0] - memory[1]
            tightest = min(tightest, left)
        seconds[p] = spent.sum()
        by_resource[p] = spent
        spare[p] = tightest
