"""A fused MoE layer by its tiles, in closed form.

Gate-up and down are grouped GEMMs: each touched expert's rows are cut into tiles of `b` rows and
`n` columns, the tiles fill the SMs in waves, and a wave takes what its slowest resource takes. All
arrays are `[calls]`, so a table of a hundred thousand layers is priced at once.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import Share
from .constants import Constants
from .machine import Machine
from .tiles import TILE_ROWS, ExpertLoad

Floats = NDArray[np.float64]

TERMS = ("launch", "rows", "experts", "gate_up", "down")
"""The parts of a layer's time, in the order in which they happen; they add up to it."""

AUTOTUNED = ((16, 64), (16, 128), (32, 128), (64, 128), (128, 128), (128, 256))
"""Tiles, rows by columns, of which an autotuned family takes the fastest."""
TRITON_FEW, TRITON_MANY = (16, 32), (64, 64)
"""Triton's tiles without a tuned file: the first while tokens <= local experts (the rule in vLLM's
and SGLang's fused_moe, read in their sources)."""


STEP = 8.0
"""How sharply weights stop to fit the cache: at 1.3 times its size a tenth of them is held."""
STREAM_SHARE = 0.25
"""Of what the SMs can take from the cache, at which they pass over rows (`GemmConstants` begins
with it). Loads and conversions of the SMs limit such passes, more than the memory does: so they
travel with the number and clock of the SMs."""


class ExpertConstants(Constants, frozen=True, kw_only=True, tag="experts"):
    """Sixteen numbers and two choices of a fused MoE layer's kernels.

    tiling: how a tile is picked: the fastest of a set, or by Triton's rule of thumb on tokens.
    packing: which rows a rank computes under expert parallelism: those assigned to its experts, or
    all top_k slots of every token that has any of them there. launch_cycles: what the layer costs
    however small it is (kernels, router, synchronisation). row_traffic: bytes moved around the
    products, in rows of the hidden size per assignment (permutation, quantisation of activations,
    weighted sum). group_traffic: passes over the rows of the whole group, for kernels that keep a
    place for every assignment. expert_cycles: for each touched expert. tensor_share: of the dense
    peak, for a large tile and a long sum. tile_half_rows: rows of a tile at which half of that is
    reached. depth_half: length of the sum at which half is reached (pipeline fill and drain).
    dram_share: of the memory's bandwidth. cache_share: of what the SMs can take from the cache.
    resident_share: of a split cache, that keeps weights from one repeat to the next (one that is
    whole keeps its size). product_traffic: passes of a product's own rows over memory. wave_cycles:
    start and end of each wave of tiles. wave_softness: 0 counts whole waves, 1 shares of one
    (persistent or split kernels). overlap: exponent that joins compute, cache and memory; 1 adds
    them, large ones hide the smaller. ungated_rate: how fast the products of layers without a gate
    run beside those with one: they are other variants, often less tuned, or padded to the gated
    form (2/3). miss_share: of the rows that tiles read again, the share that comes from memory once
    the rows outgrow the cache.
    """

    tiling: Literal["autotuned", "triton-default"] = "autotuned"
    packing: Literal["assigned", "every-slot"] = "assigned"
    launch_cycles: Annotated[float, msgspec.Meta(ge=2e3, le=6e5)] = 6e4
    row_traffic: Annotated[float, msgspec.Meta(ge=0.01, le=60)] = 4.0
    group_traffic: Annotated[float, msgspec.Meta(ge=1e-3, le=60)] = 0.1
    expert_cycles: Annotated[float, msgspec.Meta(ge=2, le=2e4)] = 200.0
    tensor_share: Annotated[float, msgspec.Meta(ge=0.03, le=1)] = 0.7
    tile_half_rows: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 8.0
    depth_half: Annotated[float, msgspec.Meta(ge=1, le=3000)] = 200.0
    dram_share: Annotated[float, msgspec.Meta(ge=0.3, le=1)] = 0.9
    cache_share: Annotated[float, msgspec.Meta(ge=0.02, le=1)] = 0.4
    resident_share: Annotated[float, msgspec.Meta(ge=0.01, le=2)] = 0.3
    product_traffic: Annotated[float, msgspec.Meta(ge=0.05, le=20)] = 1.0
    wave_cycles: Annotated[float, msgspec.Meta(ge=20, le=6e4)] = 1000.0
    wave_softness: Share = 0.5
    overlap: Annotated[float, msgspec.Meta(ge=1, le=8)] = 2.0
    ungated_rate: Annotated[float, msgspec.Meta(ge=0.1, le=1.5)] = 1.0
    miss_share: Annotated[float, msgspec.Meta(ge=1e-4, le=1)] = 0.01


def starts(family: str) -> tuple[ExpertConstants, ...]:
    """Where fits begin, one for each choice that kernels of this name may have made; the first is
    the prior of an unseen kernel: values in the middle of what was fitted."""
    prior = ExpertConstants()
    packed = (prior, msgspec.structs.replace(prior, packing="every-slot"))
    if "triton" not in family:
        return packed
    ruled = [msgspec.structs.replace(one, tiling="triton-default") for one in packed]
    return (*packed, *ruled)


class ExpertCall(msgspec.Struct, frozen=True, kw_only=True):
    """Fused MoE layers on a device: `[calls]` each, or one number for all.

    tokens: of the whole expert-parallel group. group_rows: their assignments, to any device.
    local_experts: held by the device. hidden; inter: one expert's width on the device. matrices_in:
    2 when gated, else 1. weight_size, activation_size: bytes per element that the products read.
    assigned: the load of the device's experts; reached: the load where each token that reaches the
    device fills all its slots there. repeated: whether the same layer ran just before, so that the
    cache may still hold its weights.
    """

    tokens: Floats
    group_rows: Floats
    local_experts: Floats
    hidden: Floats
    inter: Floats
    matrices_in: Floats
    weight_size: float
    activation_size: float
    assigned: ExpertLoad
    reached: ExpertLoad
    repeated: bool = True


class _Product(NamedTuple):
    """One grouped GEMM of a call: the load, the share of its weights that the cache holds, the
    length of its sums and the columns of its result."""

    call: ExpertCall
    load: ExpertLoad
    resident: Floats
    depth: Floats
    columns: Floats


def expert_terms(
    call: ExpertCall, machine: Machine, constants: ExpertConstants
) -> dict[str, Floats]:
    """Seconds of each of TERMS: `[calls]`; their sum is the layer's time.

    rows: permutation, quantisation and weighted sum move `row_traffic` rows of the hidden size per
    assignment of the device; kernels that do not pack their rows also pass over every assignment
    of the group, `group_traffic` times its hidden and expert widths. experts: what each touched
    expert costs beside its products.
    """
    load = call.assigned if constants.packing == "assigned" else call.reached
    weights = load.touched * call.hidden * call.inter * (call.matrices_in + 1)
    resident = np.zeros(load.rows.shape)
    if call.repeated:
        resident = _resident(weights * call.weight_size, machine, constants)
    own = constants.row_traffic * load.rows * call.hidden
    widths = call.hidden + (call.matrices_in + 1) * call.inter
    group = constants.group_traffic * call.group_rows * widths
    moved = (own + group) * call.activation_size
    gate_up = _Product(call, load, resident, call.hidden, call.matrices_in * call.inter)
    down = _Product(call, load, resident, call.inter, call.hidden)
    slower = np.where(call.matrices_in > 1, 1.0, 1 / constants.ungated_rate)
    return {
        "launch": np.broadcast_to(machine.seconds(constants.launch_cycles), load.rows.shape),
        "rows": np.asarray(moved / (STREAM_SHARE * machine.cache_port_bytes_per_s)),
        "experts": machine.seconds(constants.expert_cycles) * load.touched,
        "gate_up": slower * _product_s(gate_up, machine, constants),
        "down": slower * _product_s(down, machine, constants),
    }


def _resident(weight_bytes: Floats, machine: Machine, constants: ExpertConstants) -> Floats:
    """The share of the weights that the cache still holds from the repeat before: `[calls]`.

    Weights are read in the same order in each repeat, so a cache that replaces the oldest line
    holds all of them or, once they outgrow it, none. (So it is on the L40S, whose cache is one.)
    """
    kept_bytes = machine.kept_share(constants.resident_share) * machine.cache_bytes
    return np.asarray(1 / (1 + (weight_bytes / kept_bytes) ** STEP))


def _product_s(product: _Product, machine: Machine, constants: ExpertConstants) -> Floats:
    """One grouped GEMM with the tile that its family picks."""
    memory_s = _memory_s(product, machine, constants)

    def with_tile(tile: tuple[int, int]) -> Floats:
        return _tiled_s(product, memory_s, machine, constants, tile)

    if constants.tiling == "triton-default":
        few = product.call.tokens <= product.call.local_experts
        return np.where(few, with_tile(TRITON_FEW), with_tile(TRITON_MANY))
    best = with_tile(AUTOTUNED[0])
    for tile in AUTOTUNED[1:]:
        np.minimum(best, with_tile(tile), out=best)
    return best


def _memory_s(product: _Product, machine: Machine, constants: ExpertConstants) -> Floats:
    """Weights of touched experts, those in the cache at its rate, and the rows in and out."""
    call, load, resident, depth, columns = product
    rate = machine.bandwidth_bytes_per_s
    weight_bytes = load.touched * depth * columns * call.weight_size
    row_bytes = load.rows * (depth + columns) * call.activation_size
    from_memory = weight_bytes * (1 - resident) + constants.product_traffic * row_bytes
    return np.asarray(
        from_memory / (constants.dram_share * rate)
        + weight_bytes * resident / (constants.cache_share * machine.cache_port_bytes_per_s)
    )


def _tiled_s(
    product: _Product,
    memory_s: Floats,
    machine: Machine,
    constants: ExpertConstants,
    tile: tuple[int, int],
) -> Floats:
    """Seconds with one tile: compute by waves, operands through the cache, and memory, joined.

    derived: a tile of b x n over a sum of length k takes 2 b n k operations on one SM and reads
    (b + n) k operands through the cache; waves = tiles / SMs, whole ones for a kernel that starts
    a block per tile.
    """
    call, load, _, depth, columns = product
    b, n = tile
    tiles = load.tiles[:, TILE_ROWS.index(b)] * np.ceil(columns / n)
    waves = tiles / machine.units
    counted = constants.wave_softness * waves + (1 - constants.wave_softness) * np.ceil(waves)
    share = (
        constants.tensor_share
        * (b / (b + constants.tile_half_rows))
        * (depth / (depth + constants.depth_half))
    )
    compute_s = counted * (2.0 * b * n * depth) * machine.units / (machine.peak_flops_per_s * share)
    operands = tiles * (b * call.activation_size + n * call.weight_size) * depth
    cache_s = operands / (constants.cache_share * machine.cache_port_bytes_per_s)
    row_bytes = load.rows * depth * call.activation_size
    outgrown = np.maximum(1 - machine.cache_bytes / np.maximum(row_bytes, 1.0), 0.0)
    again = constants.miss_share * outgrown * tiles * b * call.activation_size * depth
    memory_s = memory_s + again / (constants.dram_share * machine.bandwidth_bytes_per_s)
    p = constants.overlap
    joined = (compute_s**p + cache_s**p + memory_s**p) ** (1 / p)
    return np.asarray(joined + machine.seconds(constants.wave_cycles) * np.ceil(waves))
