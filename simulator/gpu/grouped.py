"""One grouped product of a MoE layer by events: every expert's own tiles, from its own tokens."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .events import Blocks, Run, run_blocks
from .experts import AUTOTUNED, ExpertConstants
from .machine import Machine


class GroupedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """loads: rows of each expert, `[experts]`. depth: length of the sums. columns: of the result.
    Sizes are bytes per element. held: the share of the weights that the cache has already."""

    loads: NDArray[np.int64]
    depth: float
    columns: float
    weight_size: float
    activation_size: float
    held: float = 0.0

    def __post_init__(self) -> None:
        if self.loads.ndim != 1 or (self.loads < 0).any():
            raise BadInput("must be one list of row counts, none of them negative", key="loads")
        for name in ("depth", "columns", "weight_size", "activation_size"):
            if not getattr(self, name) > 0:
                raise BadInput("must be positive", key=name, value=getattr(self, name))


def product_run(
    product: GroupedProduct,
    machine: Machine,
    constants: ExpertConstants,
    tile: tuple[int, int] | None = None,
) -> Run:
    """The product with a tile of rows by columns, or with the fastest of AUTOTUNED; one block on an
    SM at a time.

    Equals the closed form where both mean the same: equal blocks, memory no limit, whole waves
    (`wave_softness` near 0). Beside it, on 64 experts of an H100 with power-law loads: within 2%
    where `overlap` is 8, so where the closed form hides the lesser of arithmetic and memory in
    full; 5 to 25% below it where `overlap` is 2 to 3 and both are about equal, since here blocks
    that compute leave the memory to others. But blocks go expert by expert, so their order counts:
    one expert with 4,096 rows before 63 with one is 15% slower than the closed form, as its
    arithmetic is over before the others' weights are read.
    """
    return fastest_run(product, machine, constants, AUTOTUNED if tile is None else (tile,))[1]


def fastest_run(
    product: GroupedProduct,
    machine: Machine,
    constants: ExpertConstants,
    tiles: Iterable[tuple[int, int]],
) -> tuple[tuple[int, int], Run]:
    """The fastest of the tiles and its run; tiles that cannot win by their bound are not run."""
    units = int(machine.units)
    rate = constants.dram_share * float(machine.bandwidth_bytes_per_s)
    tried = [(tile, product_blocks(product, machine, constants, tile)) for tile in tiles]
    tried.sort(key=lambda pair: pair[1].least_s(units, rate))
    tile, blocks = tried[0]
    best = tile, run_blocks(blocks, units, rate)
    for tile, blocks in tried[1:]:
        if blocks.least_s(units, rate) < best[1].seconds:
            again = tile, run_blocks(blocks, units, rate)
            best = min(best, again, key=lambda pair: pair[1].seconds)
    return best


def product_blocks(
    product: GroupedProduct, machine: Machine, constants: ExpertConstants, tile: tuple[int, int]
) -> Blocks:
    """The product's blocks, expert by expert, row tile by row tile.

    Arithmetic and operands as in `experts`: 2 b n k operations on one SM and (b + n) k operands
    through its part of the cache's port, joined by the same exponent, then `wave_cycles` to start
    and end.
    Bytes: an expert's weights come with its first row tile; its rows come and its results leave
    with the tile that holds them, as often as `product_traffic` says.
    """
    high, wide = tile
    per_expert = -(-product.loads // high)
    expert = np.repeat(np.arange(product.loads.size), per_expert)
    place = np.arange(expert.size) - np.repeat(np.cumsum(per_expert) - per_expert, per_expert)
    rows = np.minimum(product.loads[expert] - place * high, high)
    count = -(-int(product.columns) // wide)
    weights = product.depth * product.columns * product.weight_size * (1 - product.held)
    moved = rows * (product.depth + product.columns) * product.activation_size
    moved = constants.product_traffic * moved + np.where(place == 0, weights, 0.0)
    block_s = _block_s(product, machine, constants, tile)
    return Blocks(
        compute_s=np.full(expert.size * count, block_s),
        moved_bytes=np.repeat(moved / count, count),
        group=np.repeat(expert, count),
    )


def _block_s(
    product: GroupedProduct, machine: Machine, constants: ExpertConstants, tile: tuple[int, int]
) -> float:
    high, wide = tile
    share = (
        constants.tensor_share
        * (high / (high + constants.tile_half_rows))
        * (product.depth / (product.depth + constants.depth_half))
    )
    units = float(machine.units)
    flops = 2.0 * high * wide * product.depth
    compute_s = flops * units / (float(machine.peak_flops_per_s) * share)
    operands = (high * product.activation_size + wide * product.weight_size) * product.depth
    port = constants.cache_share * float(machine.cache_port_bytes_per_s)
    p = constants.overlap
    joined = (compute_s**p + (operands * units / port) ** p) ** (1 / p)
    return float(joined + machine.seconds(constants.wave_cycles))
