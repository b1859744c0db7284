"""The compiled walk of `points`: `operators` and `bound` again, on the first device of each stage.

Under uniform routing that device has the most requests and experts, so it is the critical one.
For joules every kind of device is walked: replicas with a request more or less, and groups with an
expert more or less. Each function mirrors one of `mixers`, `pieces`, `layers` or `prices`; a
property test holds both paths equal.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from . import attention as plain
from .dense import linear as plain_linear
from .mixers import STATE_SIZE
from .setups import GQA, LINEAR, MLA
from .walk_resources import (
    PEAK_ACTIVATIONS,
    PEAK_EXPERTS,
    PEAK_HEAD,
    PEAK_WEIGHTS,
    Walk,
    Ways,
    burn,
    compiled,
    exchange,
    fastest,
    gather,
    join,
    run,
    send,
    spend,
    ways_of,
)

chunk_pairs = compiled(plain.chunk_pairs)
keys_read = compiled(plain.keys_read)
keys_held = compiled(plain.keys_held)
gqa_core = compiled(plain.gqa_core)
mla_core = compiled(plain.mla_core)
linear_attention_core = compiled(plain.linear_attention_core)
mamba_core = compiled(plain.mamba_core)
linear = compiled(plain_linear)


@compiled
def _product(
    at: Walk, part: int, tokens: float, inputs: float, outputs: float, size: float, times: float
) -> None:
    flops, weights, moved = linear(tokens, inputs, outputs, size, at.s.size_activations)
    run(at, part, flops, weights, moved, 0.0, times)


@compiled
def _weights(at: Walk, tokens: float, inputs: float, outputs: float, times: float) -> None:
    _product(at, PEAK_WEIGHTS, tokens, inputs, outputs, at.s.size_weights, times)


@compiled
def _norm(at: Walk, tokens: float, times: float) -> None:
    moved = tokens * 4 * at.s.hidden * at.s.size_activations
    run(at, PEAK_ACTIVATIONS, 0.0, 0.0, moved, 0.0, times)


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
    run(at, PEAK_ACTIVATIONS, flops, weights, moved, kv, times)
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
def _around(at: Walk, layer: Any, tokens: float, times: float) -> None:
    """What a replica does around the routed experts of a layer: router, shared, combine."""
    s, a = at.s, at.s.size_activations
    _product(at, PEAK_HEAD, tokens, s.hidden, layer.experts, s.size_head, times)
    # Where every device holds a part of every expert, the way back has added all parts already.
    partial = s.dp == 1 or s.ep > 1
    for inter in (layer.shared_inter, layer.beside_inter):
        if inter > 0:
            _block(at, layer, inter, tokens, times)
            partial = True
    mine = tokens / s.tp * s.hidden
    flops, moved = 2.0 * mine * layer.top_k, mine * (layer.top_k + 1) * a
    run(at, PEAK_ACTIVATIONS, flops, 0.0, moved, 0.0, times)
    join(at, tokens, 1.0 if partial else 0.5, times)


@compiled
def _grouped(
    at: Walk, layer: Any, all_tokens: float, local: float, devices: float, first: bool, times: float
) -> None:
    """The two grouped products on a device of a group with `local` experts, which stands for
    `devices`. first: whether it is the group that takes the longest."""
    s, per_token = at.s, layer.top_k / layer.experts
    rows = all_tokens * per_token * local
    if per_token < 1:
        touched = -math.expm1(all_tokens * math.log1p(-per_token)) * local
    else:
        touched = (all_tokens > 0) * local
    part = layer.expert_inter / s.expert_tp
    for inputs, outputs in ((s.hidden, layer.matrices_in * part), (part, s.hidden)):
        weights = touched * inputs * outputs * s.size_experts
        moved = rows * (inputs + outputs) * s.size_activations
        flops = 2.0 * rows * inputs * outputs
        if first:
            u = spend(at, PEAK_EXPERTS, flops, weights, moved, 0.0, times)
        else:
            u, _ = fastest(at, PEAK_EXPERTS, flops, weights, moved, 0.0)
        burn(at, u, flops, weights + moved, times * devices)


@compiled
def _together(
    at: Walk, layer: Any, requests: float, batch: float, to: Any, energy: bool, times: float
) -> None:
    """What the replicas of a stage do together in one layer: the exchange and the routed experts.

    requests, batch: of the step, over all replicas."""
    s = at.s
    if s.two_stacks > 0:
        requests, batch = requests * (layer.encoder > 0), batch * (layer.encoder == 0)
    if s.dp > 1 and s.ep == 1:
        gather(at, requests, batch, times)
    elif s.dp > 1:
        exchange(at, requests, batch, to, energy, times)
    tokens, full = requests * at.prefill + batch, s.full_groups
    _grouped(at, layer, tokens, s.local_experts, full * s.expert_tp, True, times)
    if energy and full < s.ep:
        devices = (s.ep - full) * s.expert_tp
        _grouped(at, layer, tokens, s.local_experts - 1, devices, False, times)


@compiled
def _block(at: Walk, layer: Any, inter: float, tokens: float, times: float) -> None:
    part = inter / at.s.tp
    _weights(at, tokens, at.s.hidden, layer.matrices_in * part, times)
    _weights(at, tokens, part, at.s.hidden, times)


@compiled
def _layer(at: Walk, layer: Any, mixers: Any, times: float) -> None:
    """What one replica does in a layer that stands `times` times; its side of the model decides
    which tokens it sees."""
    s = at.s
    prompts = 0.0 if s.two_stacks > 0 and layer.encoder == 0 else at.prompts
    decodes = 0.0 if s.two_stacks > 0 and layer.encoder > 0 else at.decodes
    tokens, written = prompts * at.prefill + decodes, at.prompts * at.prefill
    for j in range(int(layer.mixers)):
        _norm(at, tokens, times)
        _mixer(at, mixers[j], tokens, written, prompts, decodes, times)
        join(at, tokens, 1.0, times)
    _norm(at, tokens, times)
    if layer.experts > 0:
        _around(at, layer, tokens, times)
    else:
        _block(at, layer, layer.dense_inter, tokens, times)
        join(at, tokens, 1.0, times)


@compiled
def _embedding(at: Walk) -> None:
    """Rows of the embedding, and the ways from stage to stage."""
    s, a = at.s, at.s.size_activations
    tokens = at.prompts * at.prefill + at.decodes
    if s.vocab > 0:
        moved = tokens * s.hidden
        run(at, PEAK_ACTIVATIONS, 0.0, moved / s.tp * s.size_head, moved * a, 0.0, 1.0)
        join(at, tokens, 1.0, 1.0)
    send(at, tokens)


@compiled
def _head(at: Walk) -> None:
    s = at.s
    if s.vocab > 0:
        tokens = at.decodes if s.two_stacks > 0 else at.prompts + at.decodes
        _product(at, PEAK_HEAD, tokens, s.hidden, s.vocab / s.tp, s.size_head, 1.0)
        join(at, tokens * s.vocab / s.hidden, 0.5, 1.0)


@compiled
def _until(start: float, prompts: float, decodes: float, replicas: float) -> Any:
    """The first replica from `start` on that has a request less than the one there."""
    stop = replicas
    for requests in (prompts, decodes):
        more = requests % replicas
        if start < more:
            stop = min(stop, more)
    return stop


def _walk(
    which: Any, machine: Any, batch: Any, context: Any, prefill: Any, cached: Any,
    prefill_requests: Any, energy: bool,
    shape: Any, layer: Any, mixer: Any, tier: Any, counts: Any, form: Any, chance: Any,
    others: Any, alike: Any, resident: Any,
    units: Any, capacity: Any, unit: Any, peak: Any, link: Any,
    seconds: Any, by_resource: Any, spare: Any, joules: Any,
) -> None:  # fmt: skip
    """Fills seconds, by_resource, spare and, if asked for, joules of every point whose shape is
    not -1."""
    for p in prange(which.size):
        k, m = which[p], machine[p]
        if k < 0:
            continue
        s, n = shape[k], units[m]
        requests = prefill_requests[p] if prefill[p] > 0 else 0.0
        to = (tier[k], chance, others, alike, link[m])
        ways = ways_of(s, tier[k], link[m])
        spent, scratch, burnt, tightest = np.zeros(7), np.zeros(7), np.zeros(1), np.inf
        for stage in range(int(s.stages)):
            memory, ignored, start = np.zeros(3), np.zeros(3), 0.0
            while start < s.dp:
                stop = _until(start, requests, batch[p], s.dp)
                first = start == 0
                at = Walk(
                    s, form[k], n, unit[m], peak[m], ways, context[p], prefill[p], cached[p],
                    requests // s.dp + (start < requests % s.dp),
                    batch[p] // s.dp + (start < batch[p] % s.dp),
                    (stop - start) * s.tp,
                    spent if first else scratch, memory if first else ignored, burnt,
                )  # fmt: skip
                for g in range(int(s.groups)):
                    if counts[k, stage, g] > 0:
                        _layer(at, layer[k, g], mixer[k, g], counts[k, stage, g])
                        if first and layer[k, g].experts > 0:
                            _together(
                                at, layer[k, g], requests, batch[p], to, energy, counts[k, stage, g]
                            )
                if stage == int(s.stages) - 1:
                    _embedding(at)
                    _head(at)
                start = stop if energy else s.dp
            left = capacity[m] - resident[k, stage] - memory[0] - memory[1]
            tightest = min(tightest, left)
        seconds[p] = spent.sum()
        by_resource[p] = spent
        spare[p] = tightest
        if energy:
            joules[p] = burnt[0]


walk = njit(cache=True, parallel=True)(_walk)


@compiled
def weights(
    shape: Any, layer: Any, mixer: Any, counts: Any, form: Any, unit: Any, peak: Any, held: Any,
) -> None:  # fmt: skip
    """Fills held `[shapes, stages]`: bytes of weights on the first device of each stage.

    They are those that a step would read which touches every expert, and the embedding, of which
    a step reads only rows; the machine does not matter."""
    many, ways = 1e15, Ways(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for k in range(shape.size):
        s = shape[k]
        for stage in range(int(s.stages)):
            memory = np.zeros(3)
            at = Walk(
                s, form[k], 1, unit, peak, ways, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0,
                np.zeros(7), memory, np.zeros(1),
            )  # fmt: skip
            for g in range(int(s.groups)):
                if counts[k, stage, g] > 0:
                    _layer(at, layer[k, g], mixer[k, g], counts[k, stage, g])
                    if layer[k, g].experts > 0:
                        local = s.local_experts
                        _grouped(at, layer[k, g], many, local, 0.0, True, counts[k, stage, g])
            if stage == int(s.stages) - 1:
                _head(at)
            held[k, stage] = memory[2] + (s.embedding if stage == 0 else 0.0)
