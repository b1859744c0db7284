"""Attention by its tiles, in closed form: prefill and decode, shared heads and latent.

A thread block holds a tile of query rows and walks over their keys, a tile of KEY_TILE at a time;
blocks fill the SMs in waves. Where there are fewer blocks than places, the keys of each are split
over several and the parts joined after. All arrays are `[calls]`, so a table of a hundred thousand
calls is priced at once. (Tiles, packing of heads and splits: FlashAttention-2, arXiv 2307.08691;
Flash-Decoding; absorbed latents: DeepSeek-V2, arXiv 2405.04434.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .attention_call import AttentionCall, AttentionConstants, Floats, Numbers, starts
from .machine import Figure, Machine

__all__ = ["TERMS", "AttentionCall", "AttentionConstants", "attention_terms", "starts"]

TERMS = ("launch", "rows", "blocks", "attention", "combine")
"""The parts of a call's time; they add up to it."""

KEY_TILE = 64
"""Keys that a block takes at once."""
LEAST_ROWS = 16
"""Rows of the lowest tile that tensor cores multiply."""
CACHE_SHARPNESS = 3
"""How sharply hits turn to misses as what is read outgrows the cache. Read off the L40S tables."""
PART_BYTES = 4
"""Bytes of an element of the partial sums that splits leave."""


class _Shape(NamedTuple):
    """A call as the kernel sees it: heads of keys, widths of keys and values, elements that one key
    and its value take in memory, heads packed into a tile, rows of a tile, blocks before splits,
    and the mean and largest number of keys of a block."""

    kv_heads: Floats
    key_dim: Floats
    value_dim: Floats
    width: Floats
    packed: Floats
    rows: Floats
    blocks: Floats
    keys: Floats
    longest: Floats


class _Memory(NamedTuple):
    """Bytes of all keys and values, of queries and outputs, of one key with its value; seconds for
    a byte that is read once: from the cache as far as the last repeat left it there."""

    kv_bytes: Floats
    row_bytes: Floats
    key_bytes: Floats
    byte_s: Floats


def attention_terms(
    call: AttentionCall, machine: Machine, constants: AttentionConstants
) -> dict[str, Floats]:
    """Seconds of each of TERMS: `[calls]`; their sum is the call's time.

    launch: with the copies that gather the heads of a group. rows: passes over queries, outputs,
    new keys and values beside the products. blocks: starts and ends. attention: products, softmax
    and keys. combine: joining the splits of one query tile.
    """
    shape = _shape(call, constants)
    memory = _memory(call, shape, machine, constants)
    places = machine.units * constants.blocks_per_unit
    splits = _splits(shape, places, constants)
    blocks = shape.blocks * splits
    gathers = (shape.packed > 1) & (shape.kv_heads > 1) & (np.asarray(call.batch) > 1)
    regroups = gathers & (np.asarray(call.query_tokens) == 1)
    parts = (
        machine.seconds(constants.launch_cycles)
        + machine.seconds(constants.regroup_cycles) * regroups,
        _rows_s(call, memory, constants),
        machine.seconds(constants.block_cycles) * _waves(blocks / places, constants),
        _attention_s(shape, memory, splits, machine, constants),
        _combine_s(call, shape, splits, machine, constants),
    )
    return dict(zip(TERMS, np.broadcast_arrays(*parts), strict=True))


def _shape(call: AttentionCall, constants: AttentionConstants) -> _Shape:
    """Widths, tiles and blocks of a call.

    derived: with causal tiles that span s new tokens, tile i sees the cached tokens and i s new
    ones; their mean over the tiles of n new tokens is (n + s) / 2.
    """
    new, cached = np.asarray(call.query_tokens, float), np.asarray(call.cached_tokens, float)
    latent = np.asarray(call.latent_dim) > 0
    absorbed = latent & (constants.latent == "absorbed")
    key_dim = np.where(absorbed, call.latent_dim + np.asarray(call.rope_dim), call.head_dim)
    value_dim = np.where(absorbed, call.latent_dim, call.v_head_dim)
    kv_heads = np.where(latent & ~absorbed, call.heads, call.kv_heads)
    packed = call.heads / kv_heads
    if constants.packing == "heads":
        packed = np.ones_like(packed)
    elif constants.packing == "lone":
        packed = np.where(new == 1, packed, 1.0)
    query_rows = new * packed
    rows = np.full(query_rows.shape, float(constants.tile_rows))
    if constants.tiles == "fitted":
        rows = np.clip(2 ** np.ceil(np.log2(query_rows)), LEAST_ROWS, rows)
    span = np.minimum(np.maximum(rows / packed, 1.0), new)
    keys = cached + np.where(np.asarray(call.causal) > 0, (new + span) / 2, new)
    return _Shape(
        kv_heads=kv_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        # An absorbed value is the first part of its key and is not read twice.
        width=np.where(absorbed, key_dim, key_dim + value_dim),
        packed=packed,
        rows=rows,
        blocks=call.batch * (call.heads / packed) * np.ceil(query_rows / rows),
        keys=KEY_TILE * np.ceil(keys / KEY_TILE),
        longest=KEY_TILE * np.ceil((cached + new) / KEY_TILE),
    )


def _memory(
    call: AttentionCall, shape: _Shape, machine: Machine, constants: AttentionConstants
) -> _Memory:
    key_bytes = shape.width * call.kv_size
    tokens = call.batch * np.asarray(call.cached_tokens + np.asarray(call.query_tokens, float))
    kv_bytes = tokens * shape.kv_heads * key_bytes
    each = call.head_dim * np.asarray(call.query_size) + call.v_head_dim * np.asarray(
        call.output_size
    )
    row_bytes = call.batch * np.asarray(call.query_tokens) * call.heads * each
    held = machine.kept_share(constants.resident_share) * machine.cache_bytes
    resident = np.minimum(held / (kv_bytes + row_bytes), 1.0) ** CACHE_SHARPNESS
    dram_rate = constants.dram_share * machine.bandwidth_bytes_per_s
    byte_s = (1 - resident) / dram_rate + resident / _cache_rate(machine, constants)
    return _Memory(kv_bytes, row_bytes, key_bytes, byte_s)


def _cache_rate(machine: Machine, constants: AttentionConstants) -> Floats:
    """Bytes/s from the cache: never slower than from memory."""
    port = constants.cache_share * machine.cache_port_bytes_per_s
    return np.asarray(np.maximum(port, constants.dram_share * machine.bandwidth_bytes_per_s))


def _splits(shape: _Shape, places: Figure, constants: AttentionConstants) -> Floats:
    """Blocks that share one query tile: as many as there are places, if keys and kernel allow."""
    allowed = np.minimum(shape.longest / constants.least_split, constants.most_splits)
    return np.asarray(np.maximum(np.minimum(places / shape.blocks, allowed), 1.0))


def _waves(waves: Floats, constants: AttentionConstants) -> Floats:
    """Waves as they count: whole ones as far as blocks are even and start together."""
    softness = constants.wave_softness
    return np.asarray(softness * waves + (1 - softness) * np.ceil(waves))


def _rows_s(call: AttentionCall, memory: _Memory, constants: AttentionConstants) -> Floats:
    new_width = np.where(
        np.asarray(call.latent_dim) > 0,
        call.latent_dim + np.asarray(call.rope_dim),
        call.kv_heads * (call.head_dim + np.asarray(call.v_head_dim)),
    )
    new_bytes = call.batch * np.asarray(call.query_tokens) * new_width * call.kv_size
    moved = constants.row_traffic * memory.row_bytes + constants.kv_traffic * new_bytes
    return np.asarray(moved * memory.byte_s)


def _attention_s(
    shape: _Shape,
    memory: _Memory,
    splits: Floats,
    machine: Machine,
    constants: AttentionConstants,
) -> Floats:
    """Seconds of the walk over the keys.

    derived: a key costs a block 2 rows (key_dim + value_dim) operations and `rows` exponentials on
    one SM, which overlap as far as two units can (root of squares), and key_bytes through the SM's
    own part of the cache's port. The busiest SM walks its waves of mean blocks, or one longest
    block.
    """
    blocks = shape.blocks * splits
    unit_flops_per_s = constants.tensor_share * machine.peak_flops_per_s / machine.units
    tensor_s = 2.0 * shape.rows * (shape.key_dim + shape.value_dim) / unit_flops_per_s
    product_s = np.hypot(tensor_s, shape.rows * machine.seconds(constants.pair_cycles))
    port = constants.unit_share * machine.cache_port_bytes_per_s
    load_s = memory.key_bytes * machine.units / port
    waves = _waves(blocks / machine.units, constants)
    walked = np.maximum(waves * shape.keys, shape.longest) / splits
    cache_bytes = blocks * shape.keys / splits * memory.key_bytes
    cache_s = cache_bytes / _cache_rate(machine, constants)
    return _joined(
        constants.overlap,
        walked * product_s,
        walked * load_s,
        cache_s,
        memory.kv_bytes * memory.byte_s,
    )


def _joined(overlap: float, *parts: Floats) -> Floats:
    """(sum of parts^overlap)^(1/overlap), taken from the largest part so that none underflows."""
    largest = np.maximum.reduce(np.broadcast_arrays(*parts))
    total = np.zeros_like(largest)
    for part in parts:
        total += (part / largest) ** overlap
    return np.asarray(largest * total ** (1 / overlap))


def _combine_s(
    call: AttentionCall,
    shape: _Shape,
    splits: Numbers,
    machine: Machine,
    constants: AttentionConstants,
) -> Floats:
    """Partial sums written and read once more through the cache; nothing where nothing is split."""
    rows = call.batch * np.asarray(call.query_tokens) * call.heads
    part_bytes = 2 * PART_BYTES * splits * rows * shape.value_dim
    seconds = part_bytes / _cache_rate(machine, constants)
    return np.where(
        np.asarray(splits) > 1, machine.seconds(constants.combine_cycles) + seconds, 0.0
    )
