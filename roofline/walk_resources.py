"""What the compiled walk spends: units of a device and links, in seconds and joules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function compiled at its first call; the result is kept on disk, by the time of the
    function's own file: after a change here `walk.py` wants a touch."""
    return cast(F, njit(cache=True)(function))


TENSOR, WEIGHTS, KV, ACTIVATIONS, CACHE, LINK, LATENCY = range(7)
PEAK_WEIGHTS, PEAK_EXPERTS, PEAK_HEAD, PEAK_ACTIVATIONS = range(4)
"""The columns of `Shapes.format`."""


class Ways(NamedTuple):
    """What a byte costs on the links of one machine under one split: of a replica's all-reduce, of
    an all-gather over the stage, on the ways from stage to stage. Joules are of each device."""

    reduce_s: float
    reduce_latency: float
    reduce_j: float
    gather_s: float
    gather_latency: float
    gather_j: float
    send_s: float
    send_latency: float
    send_j: float
    exchange_latency: float


class Walk(NamedTuple):
    """A device under way, which stands for `devices` of its stage. s: its record of `SHAPE`; form:
    columns of `peak` `[2, COMPUTED]` by part; unit: records of `UNIT`. context, prefill, cached: of
    each request; prompts, decodes: requests of its replica. spent: seconds by resource; memory:
    bytes of cache held, of the largest operator's activations, and of all weights read; joules:
    of all the devices. These three are added to."""

    s: Any
    form: Any
    units: int
    unit: Any
    peak: Any
    ways: Any
    context: float
    prefill: float
    cached: float
    prompts: float
    decodes: float
    devices: float
    spent: Any
    memory: Any
    joules: Any


@compiled
def ways_of(s: Any, tier: Any, link: Any) -> Any:
    """The `Ways` of a split over tiers with these links."""
    reduce_s = reduce_latency = reduce_j = gather_s = gather_latency = gather_j = 0.0
    send_s = send_latency = send_j = exchange_latency = 0.0
    for t in range(int(s.tiers)):
        row, rate, late, joules = tier[t], link[t].rate, link[t].latency, link[t].j_per_byte
        # The tiers of a hierarchical collective can overlap; the busiest one bounds it.
        if row.reduce > 0:
            reduce_s = max(reduce_s, row.reduce / rate)
            reduce_latency = max(reduce_latency, late)
            reduce_j += row.reduce * joules
        if row.gather > 0:
            gather_s = max(gather_s, row.gather / rate)
            gather_latency = max(gather_latency, late)
            gather_j += row.gather * joules
        if row.send > 0:
            send_s += row.send / rate
            send_latency += row.send * late
            send_j += row.send * joules
        if row.exchange > 0:
            exchange_latency = max(exchange_latency, late)
    return Ways(
        reduce_s, reduce_latency, reduce_j, gather_s, gather_latency, gather_j,
        send_s, send_latency, send_j, exchange_latency,
    )  # fmt: skip


@compiled
def fastest(
    at: Walk, part: int, flops: float, weights: float, activations: float, kv: float
) -> Any:
    """The faster unit for an operator, and its seconds there."""
    best, chosen = math.inf, 0
    for u in range(at.units):
        unit = at.unit[u]
        spilled = 0.0 if activations <= unit.cache else activations
        moved = (weights + kv + spilled) / unit.bandwidth
        cached = (weights + kv + activations) / unit.cache_bandwidth
        total = max(max(flops / at.peak[u, at.form[part]], moved), cached)
        if total < best:
            best, chosen = total, u
    return chosen, best


@compiled
def burn(at: Walk, u: int, flops: float, moved: float, times: float) -> None:
    """Adds the joules of `times` runs of an operator on a unit."""
    if flops + moved > 0:
        unit = at.unit[u]
        at.joules[0] += times * (flops * unit.j_per_flop + moved * unit.j_per_byte)


@compiled
def spend(
    at: Walk, part: int, flops: float, weights: float, activations: float, kv: float, times: float
) -> Any:
    """Adds the seconds of `times` runs of an operator on the faster unit, which it returns."""
    u, best = fastest(at, part, flops, weights, activations, kv)
    unit, spent = at.unit[u], at.spent
    spilled = 0.0 if activations <= unit.cache else activations
    moved = (weights + kv + spilled) / unit.bandwidth
    tensor = flops / at.peak[u, at.form[part]]
    if tensor >= moved and tensor >= best:
        spent[TENSOR] += times * best
    elif best > moved:
        spent[CACHE] += times * best
    else:
        spent[WEIGHTS] += times * weights / unit.bandwidth
        spent[KV] += times * kv / unit.bandwidth
        spent[ACTIVATIONS] += times * spilled / unit.bandwidth
    at.memory[1] = max(at.memory[1], activations)
    at.memory[2] += times * weights
    return u


@compiled
def run(
    at: Walk, part: int, flops: float, weights: float, activations: float, kv: float, times: float
) -> None:
    """`times` runs of an operator on this device, in seconds, and on all, in joules."""
    u = spend(at, part, flops, weights, activations, kv, times)
    burn(at, u, flops, weights + activations + kv, times * at.devices)


@compiled
def join(at: Walk, tokens: float, share: float, times: float) -> None:
    """An all-reduce among the devices of a replica (share 1), or an all-gather (share 1/2)."""
    if at.s.tp > 1 and tokens > 0:
        payload = times * tokens * at.s.hidden * at.s.size_activations * share
        at.spent[LINK] += payload * at.ways.reduce_s
        at.spent[LATENCY] += times * at.ways.reduce_latency
        at.joules[0] += at.devices * payload * at.ways.reduce_j


@compiled
def send(at: Walk, tokens: float) -> None:
    """The hidden rows go from stage to stage: all ways of the pipeline."""
    if tokens > 0:
        payload = tokens / at.s.tp * at.s.hidden * at.s.size_activations
        at.spent[LINK] += payload * at.ways.send_s
        at.spent[LATENCY] += at.ways.send_latency
        at.joules[0] += at.devices * payload * at.ways.send_j


@compiled
def gather(at: Walk, prompts: float, decodes: float, times: float) -> None:
    """All tokens of a stage reach all its devices, and come back."""
    tokens = prompts * at.prefill + decodes
    if tokens > 0:
        payload = 2 * times * tokens * at.s.hidden * at.s.size_activations
        at.spent[LINK] += payload * at.ways.gather_s
        at.spent[LATENCY] += 2 * times * at.ways.gather_latency
        at.joules[0] += at.s.tp * at.s.dp * payload * at.ways.gather_j


class Dealt(NamedTuple):
    """Tokens of a stage's replicas, `base` each; the first few have a request more of each kind."""

    base: float
    more_prompts: float
    more_decodes: float
    prefill: float


@compiled
def exchange(at: Walk, prompts: float, decodes: float, to: Any, energy: bool, times: float) -> None:
    """Tokens are sent to their experts and come back. prompts, decodes: requests of the step, over
    all replicas; to: tier, chance, others and alike of `Shapes`, and the links' records."""
    s, worst = at.s, 0.0
    n, tp = int(s.tp * s.dp), int(s.tp)
    tier, chance, others, alike, link = to
    base = prompts // s.dp * at.prefill + decodes // s.dp
    d = Dealt(base, prompts % s.dp, decodes % s.dp, at.prefill)
    for t in range(int(s.tiers)):
        if tier[t].exchange == 0:
            continue
        inner, outer, first = int(tier[t].inner), int(tier[t].outer), int(tier[t].first)
        block, start, moved = max(inner, tp), 0, 0.0
        # The first group that the tier joins has most tokens and experts, so it is the busiest, but
        # a last unit with fewer devices than the others gets as much with fewer links.
        while start < (n if energy or n % inner else min(n, outer)):
            unit, own = first + start // inner, start // block * block
            group, after = start // outer * outer, min(n, start + inner)
            last = min(n, group + outer)
            near = _sent(d, tp, max(group, own), min(last, own + block))
            received = max(0.0, _sent(d, tp, group, last) - near) * chance[unit] / (after - start)
            # Replicas that come first have the most tokens, so the first device of a unit.
            most = _sent(d, tp, start, start + 1) * others[unit]
            worst = max(worst, max(most, received) / link[t].rate)
            stop = _same(d, tp, start, inner, min(n, int(alike[unit]) * inner))
            if stop > start:
                if start == group and stop >= last:
                    stop = max(last, stop // outer * outer)
                stop = stop if start == group else min(stop, last)
                moved += (stop - start) * max(most, received)
            else:
                stop = after
                for device in range(start, stop, tp):
                    most = _sent(d, tp, device, device + 1) * others[unit]
                    moved += tp * max(most, received)
            start = stop
        if energy and moved > 0:
            size = s.hidden * s.size_activations
            at.joules[0] += 2 * times * moved * size * link[t].j_per_byte
    if worst > 0:
        at.spent[LINK] += 2 * times * worst * s.hidden * s.size_activations
        at.spent[LATENCY] += 2 * times * at.ways.exchange_latency


@compiled
def _same(d: Dealt, tp: int, start: int, inner: int, stop: int) -> Any:
    """Up to which device the units from `start` on have devices of equal tokens, `stop` at most;
    `start` itself where those of its own unit differ."""
    for more in (d.more_prompts, d.more_decodes):
        cut = int(more) * tp
        if start < cut:
            stop = min(stop, cut // inner * inner)
    return stop


@compiled
def _sent(d: Dealt, tp: int, start: int, stop: int) -> Any:
    """Tokens that devices start..stop-1 send, each its share of its replica's.

    The run lies inside one replica or consists of whole ones (`regular` sees to it).
    """
    first = start // tp
    last = max(stop // tp, first + 1)
    return (_before(d, last) - _before(d, first)) * min(1.0, (stop - start) / tp)


@compiled
def _before(d: Dealt, replica: int) -> Any:
    """Tokens of the replicas before one: whole numbers, so that differences are exact."""
    more = min(float(replica), d.more_prompts) * d.prefill + min(float(replica), d.more_decodes)
    return replica * d.base + more
