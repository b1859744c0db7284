"""A fused MoE layer by its tiles, in closed form.

Gate-up and down are grouped GEMMs: each touched expert's rows are cut into tiles of `b` rows and
`n` columns, the tiles fill the SMs in waves, and a wave takes what its slowest resource takes. All
arrays are `[layers]`, so a table of a hundred thousand layers is priced at once.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

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


class ExpertLayer(msgspec.Struct, frozen=True, kw_only=True):
    """Shapes on the device: `[layers]` each, or one number for all.

    tokens: of the whole expert-parallel group. group_rows: their assignments, to any device.
    local_experts: held by the device. hidden; inter: one expert's width on the device. matrices_in:
    2 when gated, else 1. weight_size, activation_size: bytes per element that the products read.
    """

    tokens: Floats
    group_rows: Floats
    local_experts: Floats
    hidden: Floats
    inter: Floats
    matrices_in: Floats
    weight_size: float
    activation_size: float


def layer_terms(
    layer: ExpertLayer, load: ExpertLoad, machine: Machine, constants: Constants
) -> dict[str, Floats]:
    """Seconds of each of TERMS: `[layers]`; their sum is the layer's time.

    rows: permutation, quantisation and weighted sum move `row_traffic` rows of the hidden size per
    assignment of the device; kernels that do not pack their rows also pass over every assignment
    of the group, `group_traffic` times its hidden and expert widths. experts: what each touched
    expert costs beside its products.
    """
    weights = load.touched * layer.hidden * layer.inter * (layer.matrices_in + 1)
    held = constants.resident_share * machine.cache_bytes
    resident = np.clip(held / np.maximum(weights * layer.weight_size, 1.0), 0.0, 1.0)
    own = constants.row_traffic * load.rows * layer.hidden
    widths = layer.hidden + (layer.matrices_in + 1) * layer.inter
    group = constants.group_traffic * layer.group_rows * widths
    moved = (own + group) * layer.activation_size
    return {
        "launch": np.full(load.rows.shape, constants.launch_s),
        "rows": moved / machine.bandwidth_bytes_per_s,
        "experts": constants.expert_s * load.touched,
        "gate_up": _product(
            layer, load, machine, constants, resident, layer.hidden, layer.matrices_in * layer.inter
        ),
        "down": _product(layer, load, machine, constants, resident, layer.inter, layer.hidden),
    }


def _product(
    layer: ExpertLayer,
    load: ExpertLoad,
    machine: Machine,
    constants: Constants,
    resident: Floats,
    depth: Floats,
    columns: Floats,
) -> Floats:
    """One grouped GEMM with the tile that its family picks."""
    memory_s = _memory_s(layer, load, machine, constants, resident, depth, columns)

    def with_tile(tile: tuple[int, int]) -> Floats:
        return _tiled_s(layer, load, machine, constants, memory_s, depth, columns, tile)

    if constants.tiling == "triton-default":
        few = layer.tokens <= layer.local_experts
        return np.where(few, with_tile(TRITON_FEW), with_tile(TRITON_MANY))
    best = with_tile(AUTOTUNED[0])
    for tile in AUTOTUNED[1:]:
        np.minimum(best, with_tile(tile), out=best)
    return best


def _memory_s(
    layer: ExpertLayer,
    load: ExpertLoad,
    machine: Machine,
    constants: Constants,
    resident: Floats,
    depth: Floats,
    columns: Floats,
) -> Floats:
    """Weights of touched experts, those in the cache at its rate, and the rows in and out."""
    rate = machine.bandwidth_bytes_per_s
    weight_bytes = load.touched * depth * columns * layer.weight_size
    row_bytes = load.rows * (depth + columns) * layer.activation_size
    from_memory = weight_bytes * (1 - resident) + constants.product_traffic * row_bytes
    return np.asarray(
        from_memory / (constants.dram_share * rate)
        + weight_bytes * resident / (constants.l2_gain * rate)
    )


def _tiled_s(
    layer: ExpertLayer,
    load: ExpertLoad,
    machine: Machine,
    constants: Constants,
    memory_s: Floats,
    depth: Floats,
    columns: Floats,
    tile: tuple[int, int],
) -> Floats:
    """Seconds with one tile: compute by waves, operands through the cache, and memory, joined.

    derived: a tile of b x n over a sum of length k takes 2 b n k operations on one SM and reads
    (b + n) k operands through the cache; waves = tiles / SMs, whole ones for a kernel that starts
    a block per tile.
    """
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
    operands = tiles * (b * layer.activation_size + n * layer.weight_size) * depth
    cache_s = operands / (constants.l2_gain * machine.bandwidth_bytes_per_s)
    p = constants.overlap
    joined = (compute_s**p + cache_s**p + memory_s**p) ** (1 / p)
    return np.asarray(joined + constants.wave_s * np.ceil(waves))
