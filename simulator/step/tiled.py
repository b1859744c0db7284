"""A whole step by its kernels: OperatorTable + System -> Estimate at detail 'tile'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format
from ...hardware import AnyDevice, System
from ...roofline import Efficiency, Estimate, OperatorTable
from ...roofline.prices import Price, prices
from ...roofline.reasons import critical_path, limiter_of, reasons
from ...roofline.shapes import Core, Matrix, Routed
from ...roofline.table import Operator
from ..gpu import ExpertCall, ExpertLoad, Machine, every_slot
from ..gpu.attention import AttentionCall
from ..gpu.choice import choose
from ..gpu.gemm import Gemm
from ..gpu.ladder import COLD, EFFICIENCY, FLOOR, REASONS, TILES, at_ends, ladder
from ..gpu.stream import OPERATORS, StreamCall, StreamConstants, stream_terms
from ..gpu.tiles import rank_load

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

STREAMS = {"norm": "layer-norm", "embedding": "embedding"}
"""Part of the model -> the operator whose constants its bytes are moved with; others get middling
ones."""
MOST_TOKENS = 10_000_000
WITHIN_EXPERTS = ("experts.down", "experts.combine")
"""Operators that the kernels of `experts.gate_up` do: a fused layer is timed as one."""


class _Asked(NamedTuple):
    """Calls of one kernel, one for each of some devices, and how often each device makes them.

    words: of the family's name, and group (see `choose`); dtype: the format whose peak it runs at.
    """

    kernel: str
    kind: str
    words: tuple[str, ...]
    dtype: str
    call: Any
    times: Floats
    group: float = 0.0


class _Spent(NamedTuple):
    """Seconds beyond the roofline by reason, and the ends of the 80% interval of each operator's
    whole time: `[operators, devices]`; family by part of the model."""

    beyond: dict[str, Floats]
    low_s: Floats
    high_s: Floats
    families: dict[str, str]


def tile(
    table: OperatorTable,
    system: System,
    efficiency: Efficiency | None = None,
    backend: str = "",
) -> Estimate:
    """The time of a step whose products, routed experts and attention run at the tile models' pace.

    Constants are those of the family that `backend` runs ('' for the first framework measured on
    the GPU), or the prior. What only moves bytes is priced as a stream; collectives are those of
    the bound. `why` holds the roofline's terms and, beside them, what each effect adds;
    `interval_s` takes the errors of all kernels as alike, so it is wide. Raises BadInput for
    devices that are no GPU and for an Efficiency, which shapes the bound.
    """
    if efficiency is not None:
        raise BadInput("shapes the bound; detail 'tile' has constants of its own", key="efficiency")
    price, _ = prices(table, system, Efficiency())
    spent = _spent(table, system, price, backend)
    seconds = price.total + sum(spent.beyond.values())
    path = critical_path(table, seconds)
    why = reasons(table, price, seconds, path, beyond=spent.beyond)
    along = np.arange(len(table.operators))
    return Estimate(
        seconds=sum(why.values()),
        why=why,
        limiter=limiter_of(why),
        energy_j=None,
        operator_s=seconds,
        table=table,
        evidence="simulated",
        kernels=spent.families,
        interval_s=(
            float(spent.low_s[along, path].sum()),
            float(spent.high_s[along, path].sum()),
        ),
    )


def _spent(table: OperatorTable, system: System, price: Price, backend: str) -> _Spent:
    shape = price.total.shape
    beyond = {reason: np.zeros(shape) for reason in REASONS}
    low, high = price.total.copy(), price.total.copy()
    families: dict[str, str] = {}
    memo: dict[object, _Priced] = {}
    for i, operator in enumerate(table.operators):
        ranks = np.flatnonzero(price.total[i] > 0)
        if operator.group or not ranks.size or operator.name in WITHIN_EXPERTS:
            continue
        for same in _by_device(system, ranks):
            key = (id(operator.shape), operator.dtype, *same.tolist())
            if operator.shape is None:
                priced = _streamed(table, i, system.devices[same[0]], same)
            elif key in memo:
                priced = memo[key]
            else:
                local = same % table.stage_devices
                priced = memo[key] = _priced(operator, system.devices[same[0]], local, backend)
            families.update(priced.families)
            _book(table, price, i, same, priced, beyond, low, high)
    return _Spent(beyond, low, high, families)


class _Priced(NamedTuple):
    """An operator's kernels on some devices: seconds above nothing by reason `[devices]`, factors
    of the 80% interval `[2, devices]`, and who runs what."""

    seconds: dict[str, Floats]
    factors: Floats
    families: dict[str, str]


def _book(
    table: OperatorTable,
    price: Price,
    i: int,
    ranks: Ranks,
    priced: _Priced,
    beyond: dict[str, Floats],
    low: Floats,
    high: Floats,
) -> None:
    """Enters an operator's seconds beyond its roofline, of which its kernels do a part."""
    for reason, values in priced.seconds.items():
        beyond[reason][i, ranks] = values
    whole = np.asarray(sum(priced.seconds.values()))
    rest = EFFICIENCY if table.operators[i].shape is None else TILES
    beyond[rest][i, ranks] -= _roofline_s(table, price, i)[ranks]
    spread = (priced.factors - 1) * whole
    total = price.total[i, ranks] + sum(values[i, ranks] for values in beyond.values())
    low[i, ranks], high[i, ranks] = total + spread


def _roofline_s(table: OperatorTable, price: Price, i: int) -> Floats:
    """The roofline of what operator i's kernel does: `[devices]`.

    The products that carry queries into a latent are others: their weights are read apart.
    """
    operator = table.operators[i]
    if isinstance(operator.shape, Core):
        return np.asarray(np.maximum(price.total[i] - price.weights[i], 0.0))
    seconds: Floats = price.total[i].copy()
    if isinstance(operator.shape, Routed):
        for j in range(i + 1, len(table.operators)):
            after = table.operators[j]
            if after.layer != operator.layer or after.name == operator.name:
                break
            if after.name in WITHIN_EXPERTS:
                seconds += price.total[j]
    return seconds


def _by_device(system: System, ranks: Ranks) -> Iterator[Ranks]:
    """The ranks of each kind of device."""
    kinds = np.array([id(system.devices[rank]) for rank in ranks])
    for kind in dict.fromkeys(kinds.tolist()):
        yield ranks[kinds == kind]


def _streamed(table: OperatorTable, i: int, device: AnyDevice, ranks: Ranks) -> _Priced:
    """An operator that only moves bytes; its rows are the tokens of a replica."""
    operator = table.operators[i]
    moved = table.activation_bytes[i] + table.weight_bytes[i] + table.kv_bytes[i]
    call = StreamCall(
        moved_bytes=np.maximum(moved[ranks], 1.0),
        rows=max(1.0, table.tokens * table.tp / table.stage_devices),
    )
    constants = OPERATORS.get(STREAMS.get(operator.part, ""), StreamConstants())
    terms = stream_terms(call, Machine.of(device, operator.dtype), constants)
    seconds = {FLOOR: terms["launch"], EFFICIENCY: terms["stream"] + terms["few_rows"]}
    return _Priced(seconds, np.ones((2, ranks.size)), {})


def _priced(operator: Operator, device: AnyDevice, local: Ranks, backend: str) -> _Priced:
    seconds: dict[str, Floats] = {}
    families: dict[str, str] = {}
    ends = np.zeros((2, local.size))
    for asked in _asked(operator, local):
        machine = Machine.of(device, asked.dtype)
        chosen = choose(
            device.name,
            asked.kind,
            asked.kernel,
            operator.dtype,
            backend,
            words=asked.words,
            group=asked.group,
        )
        families[f"{operator.part}, {asked.kernel}"] = chosen.family
        constants = at_ends(chosen.constants, COLD.get(asked.kernel, {}))
        nothing = np.zeros(local.size)
        for reason, values in ladder(asked.kernel, asked.call, machine, constants, nothing).items():
            part = asked.times * values
            seconds[reason] = seconds.get(reason, 0.0) + part
            ends += np.outer((chosen.low, chosen.high), part)
    whole = np.asarray(sum(seconds.values()))
    return _Priced(seconds, ends / whole, families)


def _asked(operator: Operator, local: Ranks) -> Iterator[_Asked]:
    """The kernels behind an operator, on devices by their places in the stage."""
    shape, form = operator.shape, number_format(operator.dtype)
    once = np.ones(local.size)
    if isinstance(shape, Matrix):
        product = Gemm(
            m=np.maximum(shape.rows[local], 1.0),
            n=shape.outputs * once,
            k=shape.inputs * once,
            weight_size=form.bytes_per_element,
            activation_size=form.operand_bytes,
            quantised=form.compute != "bf16",
        )
        yield _Asked("gemm", "gemm", ("",), operator.dtype, product, once)
    elif isinstance(shape, Routed):
        gate = "-nongated" if shape.gated else "nongated"
        experts = _expert_call(shape, operator.dtype, local)
        yield _Asked("experts", "moe", (gate, ""), operator.dtype, experts, once)
    elif isinstance(shape, Core):
        for kind, new in enumerate(shape.new):
            requests = shape.requests[kind, local]
            if requests.any():
                words = _attention_words(shape, "decode" if new == 1 else "prefill")
                call = _attention_call(shape, kind, requests)
                narrow = "fp8" if shape.kv_size == 1 else operator.dtype
                times = (requests > 0).astype(float)
                group = shape.heads / shape.kv_heads
                yield _Asked("attention", "attention", words, narrow, call, times, group)


def _attention_words(shape: Core, phase: str) -> tuple[str, ...]:
    """Names that the kernel's family may end in, with its cache's format and without."""
    kinds = [f"{'mla' if shape.latent else 'gqa'}-{phase}"]
    if phase == "decode" and not shape.latent:
        kinds.insert(0, "heads-decode")
    cache = "kv-fp8" if shape.kv_size == 1 else "kv-bf16"
    return tuple(f"{cache}/{kind}" for kind in kinds) + tuple(kinds)


def _attention_call(shape: Core, kind: int, requests: Floats) -> AttentionCall:
    once = np.ones(requests.size)
    return AttentionCall(
        batch=np.maximum(requests, 1.0),
        query_tokens=shape.new[kind] * once,
        cached_tokens=shape.cached[kind] * once,
        heads=shape.heads * once,
        kv_heads=shape.kv_heads * once,
        head_dim=shape.head_dim * once,
        v_head_dim=shape.value_dim * once,
        latent_dim=shape.latent * once,
        rope_dim=shape.rope_dim * once,
        kv_size=shape.kv_size,
        causal=float(shape.causal) * once,
    )


def _expert_call(shape: Routed, dtype: str, local: Ranks) -> ExpertCall:
    form, rank = number_format(dtype), local // shape.each
    held = np.bincount(shape.rank).astype(float)
    once = np.ones(local.size)
    if shape.tokens > MOST_TOKENS:
        raise BadInput(
            f"prices at most {MOST_TOKENS:,} tokens of a step by tiles",
            key="step",
            value=shape.tokens,
        )
    drawn_from = None if shape.counted else shape.tokens
    load = rank_load(shape.rank, shape.loads, shape.touched, drawn_from, held.size)
    load = ExpertLoad(
        rows=np.maximum(load.rows[rank], 1e-9), touched=load.touched[rank], tiles=load.tiles[rank]
    )
    return ExpertCall(
        tokens=shape.tokens * once,
        group_rows=shape.tokens * shape.top_k * once,
        local_experts=held[rank],
        hidden=shape.hidden * once,
        inter=shape.inter * once,
        matrices_in=(2.0 if shape.gated else 1.0) * once,
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        assigned=load,
        reached=every_slot(shape.tokens * once, load, shape.top_k * once),
        repeated=False,
    )
