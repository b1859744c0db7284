"""The two grouped products of a routed-expert layer on one device: events beside closed form."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format
from ...workload import MoEModel, Parallel
from ...workload.power_law import busiest_rank, power_law_loads
from .events import Run
from .experts import AUTOTUNED, TRITON_FEW, TRITON_MANY, ExpertCall, ExpertConstants, expert_terms
from .grouped import GroupedProduct, fastest_run
from .machine import Machine
from .tiles import load_of

Loads = NDArray[np.int64]

MOST_SKEW = 10.0
"""Beyond it a power law gives one expert all it can take; its samples leave the number range."""
MOST_TOKENS = 10_000_000
MOST_BLOCKS = 4_000_000
"""Blocks of a product at the smallest tile: about 300 MB while they are laid out."""


class RoutedLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A routed-expert layer as one device sees it.

    tokens: of the whole group; top_k: experts of each. loads: rows of each expert of the device,
    `[experts]`. hidden; inter: one expert's width on the device. dtype: of the experts.
    """

    tokens: int
    top_k: int
    loads: Loads
    hidden: int
    inter: int
    gated: bool
    dtype: str


class ProductRun(msgspec.Struct, frozen=True, kw_only=True):
    """A product with the tile, rows by columns, that it ran with: its blocks in time, and the
    seconds that the closed form gives the same product with the same constants."""

    name: str
    tile: tuple[int, int]
    run: Run
    closed_s: float


def routed_layer(
    model: MoEModel, split: Parallel, tokens: int, *, skew: float = 0.0, seed: int = 0
) -> RoutedLayer:
    """The model's first routed layer on the device that `device_loads` draws for."""
    split.check(model)
    experts = model.experts
    loads = device_loads(tokens, experts.top_k, experts.count, ep=split.ep, skew=skew, seed=seed)
    return RoutedLayer(
        tokens=tokens,
        top_k=experts.top_k,
        loads=loads,
        hidden=model.hidden,
        inter=experts.inter // split.expert_tp,
        gated=experts.gated,
        dtype=model.formats.experts,
    )


def device_loads(
    tokens: int, top_k: int, experts: int, *, ep: int = 1, skew: float = 0.0, seed: int = 0
) -> Loads:
    """Rows of each expert of one device: dealt evenly (`skew` 0), or those of the busiest of `ep`
    devices in one draw of a power law with that exponent: `[experts / ep]`."""
    if not 1 <= tokens <= MOST_TOKENS:
        raise BadInput(f"must be 1 to {MOST_TOKENS:,} tokens", key="batch", value=tokens)
    if not 0 <= skew <= MOST_SKEW:
        raise BadInput(f"must be between 0 (even) and {MOST_SKEW:g}", key="skew", value=skew)
    if ep < 1 or experts % ep:
        raise BadInput(f"must divide the {experts} experts", key="ep", value=ep)
    if skew:
        drawn = power_law_loads(tokens, top_k, experts, skew, ep=ep, draws=1, seed=seed)
        return np.asarray(busiest_rank(drawn, ep)[0])
    each, more = divmod(math.ceil(tokens * top_k / ep), experts // ep)
    return np.asarray(each + (np.arange(experts // ep) < more), np.int64)


def routed_runs(
    layer: RoutedLayer, machine: Machine, constants: ExpertConstants
) -> tuple[ProductRun, ProductRun]:
    """Gate-up and down, weights from memory: in a model other layers run in between."""
    packed = msgspec.structs.replace(layer, loads=_packed(layer, constants))
    form = number_format(layer.dtype)
    closed = expert_terms(_call(packed), machine, constants)
    tiles = _tiles(packed, constants)
    slower = 1.0 if layer.gated else 1 / constants.ungated_rate
    columns = layer.inter * (2 if layer.gated else 1)
    runs = []
    for name, depth, wide in (
        ("gate_up", layer.hidden, columns),
        ("down", layer.inter, layer.hidden),
    ):
        _bounded(packed.loads, wide, tiles)
        product = GroupedProduct(
            loads=packed.loads,
            depth=float(depth),
            columns=float(wide),
            weight_size=form.bytes_per_element,
            activation_size=form.operand_bytes,
        )
        tile, run = fastest_run(product, machine, constants, tiles)
        closed_s = float(closed[name][0])
        stretched = _stretched(run, slower)
        runs.append(ProductRun(name=name, tile=tile, run=stretched, closed_s=closed_s))
    return runs[0], runs[1]


def _tiles(layer: RoutedLayer, constants: ExpertConstants) -> tuple[tuple[int, int], ...]:
    if constants.tiling == "autotuned":
        return AUTOTUNED
    return (TRITON_FEW if layer.tokens <= layer.loads.size else TRITON_MANY,)


def _packed(layer: RoutedLayer, constants: ExpertConstants) -> Loads:
    """The rows that the kernels compute: those assigned, or every slot of each token that comes.

    The slots that other devices own go to the busiest expert: `every_slot` lets them run through
    one that is touched already.
    """
    if constants.packing == "assigned":
        return layer.loads
    rows = int(layer.loads.sum())
    more = min(layer.tokens, rows) * layer.top_k - rows
    loads = layer.loads.copy()
    loads[loads.argmax()] += max(more, 0)
    return loads


def _call(layer: RoutedLayer) -> ExpertCall:
    one, load, form = np.ones(1), load_of(layer.loads[None, :]), number_format(layer.dtype)
    return ExpertCall(
        tokens=one * layer.tokens,
        group_rows=one * layer.tokens * layer.top_k,
        local_experts=one * layer.loads.size,
        hidden=one * layer.hidden,
        inter=one * layer.inter,
        matrices_in=one * (2.0 if layer.gated else 1.0),
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        assigned=load,
        reached=load,
        repeated=False,
    )


def _stretched(run: Run, factor: float) -> Run:
    """The run with all its times so much longer: what `ungated_rate` does to the closed form."""
    blocks = msgspec.structs.replace(run.blocks, compute_s=factor * run.blocks.compute_s)
    return msgspec.structs.replace(
        run, blocks=blocks, start_s=factor * run.start_s, end_s=factor * run.end_s
    )


def _bounded(loads: Loads, columns: int, tiles: tuple[tuple[int, int], ...]) -> None:
    high, wide = min(tiles)
    blocks = int((-(-loads // high)).sum()) * -(-columns // wide)
    if blocks > MOST_BLOCKS:
        raise BadInput(
            f"makes {blocks:,} blocks of {high} x {wide}; at most {MOST_BLOCKS:,} are run. Take "
            "fewer tokens, or more devices",
            key="batch",
        )
