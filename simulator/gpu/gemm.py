"""A dense GEMM by its tiles, in closed form: out[m, n] = rows[m, k] x weights[k, n].

The result is cut into tiles of `b` rows and `c` columns; tiles fill the SMs in waves, or their sums
are split where there are fewer tiles than SMs. A library is taken to pick the tile that this model
finds fastest. All arrays are `[calls]`, so a table of a hundred thousand calls is priced at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .gemm_call import Gemm, GemmConstants, starts
from .machine import Figure, Machine

Floats = NDArray[np.float64]

__all__ = ["BY_ROWS", "FASTEST", "TERMS", "Gemm", "GemmConstants", "gemm_terms", "starts"]

TERMS = ("launch", "quantise", "product", "ends", "output", "host")
"""The parts of a call's time; they add up to it."""

FASTEST = ((16, 32), (16, 64), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256))
"""Tiles, rows by columns, of which a family with a heuristic takes the fastest."""
BY_ROWS = {
    "by-rows": ((16, 16, 64), (32, 32, 64), (64, 64, 64), (128, 64, 128), (np.inf, 128, 128)),
    "by-rows-late": ((16, 16, 64), (32, 32, 64), (64, 64, 64), (256, 64, 128), (np.inf, 128, 128)),
}
"""Fixed rules: up to so many rows, this tile. Read off the tables of H100 (the first) and L40S: the
time of a product that is far from memory jumps at these rows."""
BLOCK_DEPTH_BYTES = 128
"""Bytes of a row that one step of a tile's loop loads: the widest swizzle of shared memory."""
LEAST_SPLIT_DEPTH = 256
"""Elements of the sum that a split keeps at least; shorter ones are all fill and drain."""
FEW = 250
"""Calls up to which all tiles are tried in one array: more would leave the processor's caches."""
STRIP_TILES = 8
"""Columns of tiles that run side by side, so that their rows are read once (CUTLASS's swizzle)."""
CACHE_SHARPNESS = 12
"""How sharply hits turn to misses as a cyclically read footprint outgrows the cache: a least
recently used cache would have a step; hashed slices soften it. Read off the L40S tables."""


class _Rates(NamedTuple):
    """What the machine gives with these constants: bytes/s and FLOP/s of one SM."""

    units: Figure
    unit_flops_per_s: Figure
    dram: Figure
    operands: Figure
    streams: Figure
    held_bytes: Figure


class _Traffic(NamedTuple):
    """Seconds to bring every byte once, seconds to bring the result out, bytes of each operand, and
    the share of both that a second read finds gone."""

    once_s: Floats
    out_s: Floats
    weight_bytes: Floats
    row_bytes: Floats
    gone: Floats


def gemm_terms(gemm: Gemm, machine: Machine, constants: GemmConstants) -> dict[str, Floats]:
    """Seconds of each of TERMS: `[calls]`; their sum is the call's time.

    product: compute, latency, cache and memory, joined. ends: starts and ends of waves, and what
    splitting costs. output: the part of the result's way out that nothing hides. host: how much
    longer the host takes than the device.
    """
    m, n, k = (np.asarray(x, np.float64) for x in np.broadcast_arrays(gemm.m, gemm.n, gemm.k))
    rates = _rates(machine, constants)
    traffic = _traffic(gemm, m, n, k, rates, constants)
    product, ends = _fastest(gemm, (m, n, k), traffic, rates, constants)
    terms = {
        "launch": np.full(m.shape, constants.launch_s),
        "quantise": _quantise_s(gemm, m, k, rates, constants),
        "product": product,
        "ends": ends,
        "output": constants.output_share * traffic.out_s,
    }
    device = np.asarray(sum(terms.values()))
    return {**terms, "host": np.maximum(constants.host_s - device, 0.0)}


def _rates(machine: Machine, constants: GemmConstants) -> _Rates:
    """Bytes that the cache holds never come slower than from memory."""
    port = machine.cache_port_bytes_per_s
    dram = machine.bandwidth_bytes_per_s * constants.dram_share
    return _Rates(
        units=machine.units,
        unit_flops_per_s=machine.peak_flops_per_s * constants.tensor_share / machine.units,
        dram=dram,
        operands=port * constants.operand_share,
        streams=np.maximum(port * constants.stream_share, dram),
        held_bytes=machine.cache_bytes * constants.cache_share,
    )


def _gone(footprint: Floats, held_bytes: Figure) -> Floats:
    """The share of reads that miss, where `footprint` bytes are touched between two of them."""
    over = np.clip(footprint / held_bytes, 1e-3, 1e3) ** CACHE_SHARPNESS
    return np.asarray(over / (1 + over))


def _brought_s(read: Floats, gone: Floats, rates: _Rates) -> Floats:
    """Seconds for bytes of which a share comes from memory and the rest from the cache."""
    return np.asarray(read * (gone / rates.dram + (1 - gone) / rates.streams))


def _traffic(
    gemm: Gemm, m: Floats, n: Floats, k: Floats, rates: _Rates, constants: GemmConstants
) -> _Traffic:
    """derived: between two repeats all operands and the result pass through the cache, and between
    two reads of the same weights all their copies do."""
    weights, rows, out = (
        n * k * gemm.weight_size,
        m * k * gemm.activation_size,
        m * n * gemm.out_size,
    )
    rows_gone = _gone(weights + rows + out, rates.held_bytes)
    weights_gone = _gone(constants.weight_copies * weights + rows + out, rates.held_bytes)
    once = _brought_s(weights, weights_gone, rates) + _brought_s(rows + out, rows_gone, rates)
    gone = _gone(weights + rows, rates.held_bytes)
    return _Traffic(once, _brought_s(out, rows_gone, rates), weights, rows, gone)


def _quantise_s(
    gemm: Gemm, m: Floats, k: Floats, rates: _Rates, constants: GemmConstants
) -> Floats:
    """One block for each row: limited by the bytes, or by how fast blocks come and go."""
    if not gemm.quantised:
        return np.zeros(m.shape)
    moved = m * k * constants.quantise_bytes
    by_bytes = _brought_s(moved, _gone(moved, rates.held_bytes), rates)
    return np.maximum(by_bytes, m * constants.quantise_row_s)


def _tiles(m: Floats, constants: GemmConstants) -> Iterator[tuple[Figure, Figure]]:
    """Rows and columns of the tiles to try, `[tiles, 1]` or `[1, calls]`: all of them at once where
    calls are few."""
    if constants.tiling == "fastest":
        rows, columns = np.array(FASTEST, np.float64).T.reshape(2, -1, *(1 for _ in m.shape))
        each = len(FASTEST) if m.size <= FEW else 1
        for i in range(0, len(FASTEST), each):
            yield rows[i : i + each], columns[i : i + each]
        return
    rule = np.array(BY_ROWS[constants.tiling], np.float64)
    place = np.searchsorted(rule[:, 0], m)
    yield rule[place, 1][None], rule[place, 2][None]


def _fastest(
    gemm: Gemm,
    shape: tuple[Floats, Floats, Floats],
    traffic: _Traffic,
    rates: _Rates,
    constants: GemmConstants,
) -> tuple[Floats, Floats]:
    """Seconds of the product and of its ends with the tile, whole or split, that takes least."""
    product, ends = np.full(shape[0].shape, np.inf), np.zeros(shape[0].shape)
    for tile in _tiles(shape[0], constants):
        for products, all_ends in _tiled_s(gemm, shape, tile, traffic, rates, constants):
            for one_product, one_ends in zip(products, all_ends, strict=True):
                better = one_product + one_ends < product + ends
                np.copyto(product, one_product, where=better)
                np.copyto(ends, one_ends, where=better)
    return product, ends


def _tiled_s(
    gemm: Gemm,
    shape: tuple[Floats, Floats, Floats],
    tile: tuple[Figure, Figure],
    traffic: _Traffic,
    rates: _Rates,
    constants: GemmConstants,
) -> Iterator[tuple[Floats, Floats]]:
    """(product, ends) with whole sums, then with each sum split over idle SMs: `[tiles, calls]`.

    derived: a tile of b x c takes 2 b c operations and (b + c) operands for each element of its
    sums; a split adds a 32-bit partial result, written and read, for each of its parts.
    """
    m, n, k = shape
    b, c = tile
    rows, columns = np.ceil(m / b), np.ceil(n / c)
    tiles = rows * columns
    memory = traffic.once_s + _again_s(rows, columns, traffic, rates)
    operand_bytes = b * gemm.activation_size + c * gemm.weight_size
    step_s = constants.step_s * gemm.activation_size / BLOCK_DEPTH_BYTES
    flops_s = 2.0 * b * c / rates.unit_flops_per_s
    shared = _cubed(tiles * k * operand_bytes / rates.operands) + _cubed(memory)
    busiest = np.maximum(flops_s, step_s)

    waves = np.ceil(tiles / rates.units)
    counted = constants.wave_softness * np.maximum(tiles / rates.units, 1.0)
    counted = counted + (1 - constants.wave_softness) * waves
    yield np.cbrt(_cubed(counted * k * busiest) + shared), constants.wave_s * waves

    parts = np.clip(np.floor(rates.units / tiles), 1.0, np.maximum(k / LEAST_SPLIT_DEPTH, 1.0))
    partial_s = 8.0 * m * n * parts / rates.operands
    ends = np.where(parts > 1, constants.wave_s + constants.split_s + partial_s, np.inf)
    yield np.cbrt(_cubed(k / parts * busiest) + shared), ends


def _cubed(seconds: Floats) -> Floats:
    """Compute, cache and memory are joined as the cube root of their cubes' sum: the smaller ones
    are hidden for the most part. (With the exponent free, fits of single families found 1.5 to 5
    and gained nothing by it.)"""
    return seconds * seconds * seconds


def _again_s(rows: Floats, columns: Floats, traffic: _Traffic, rates: _Rates) -> Floats:
    """What waves read again from memory once the operands have outgrown the cache.

    derived: a wave covers at most STRIP_TILES columns of tiles and the rows that then fit; the
    weights are read once for each such group of rows, the rows once for each such strip.
    """
    high = np.minimum(rates.units / np.minimum(columns, STRIP_TILES), rows)
    wide = np.minimum(np.maximum(rates.units / high, 1.0), columns)
    again = (rows / high - 1) * traffic.weight_bytes + (columns / wide - 1) * traffic.row_bytes
    return np.asarray(traffic.gone * again / rates.dram)
