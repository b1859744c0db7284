"""What an attention kernel is asked, and the constants of its families."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Share
from .constants import Constants

Floats = NDArray[np.float64]
Numbers = Floats | float
"""`[calls]`, or one number for all of them."""


class AttentionCall(msgspec.Struct, frozen=True, kw_only=True):
    """Attention of one layer on a device, projections left out: `[calls]` each, or one for all.

    batch: requests. query_tokens: new tokens of each; cached_tokens: those before them. heads: of
    queries; kv_heads: of keys and values (1 where latent). head_dim: width of a query and a key;
    v_head_dim: of a value. latent_dim: width of the latent that all heads share, 0 where there is
    none; rope_dim: of the key beside it. query_size, kv_size, output_size: bytes of an element.
    causal: 1 where a query sees itself and what precedes it, 0 where it sees every new token.
    """

    batch: Numbers
    query_tokens: Numbers
    cached_tokens: Numbers
    heads: Numbers
    kv_heads: Numbers
    head_dim: Numbers
    v_head_dim: Numbers
    latent_dim: Numbers = 0.0
    rope_dim: Numbers = 0.0
    query_size: Numbers = 2.0
    kv_size: Numbers = 2.0
    output_size: Numbers = 2.0
    causal: Numbers = 1.0


class AttentionConstants(Constants, frozen=True, kw_only=True, tag="attention"):
    """Sixteen numbers and five choices of an attention kernel.

    tile_rows: query rows of a thread block; 1 for kernels without tensor cores. tiles: always that
    high, or as low as the rows allow. packing: a block's rows are of one head, of all heads that
    share keys (`groups`), or of those only where a request has a lone query token (`lone`).
    latent: every head's keys and values are made from the latent beforehand, or the latent itself
    is read (absorbed). most_splits: blocks that may share the keys of one query tile.

    launch_cycles: what a call costs however small it is. regroup_cycles: copies that gather the
    heads of a group from several requests. row_traffic, kv_traffic: passes over queries and
    outputs, and over new keys and values, beside the products (rotary embedding, quantisation, the
    write to the cache). tensor_share: of the dense peak, in the products alone. pair_cycles: of one
    SM for the softmax of a query and a key. block_cycles: start and end of a block.
    blocks_per_unit: blocks that an SM runs side by side. wave_softness: 0 counts whole waves of
    blocks, 1 shares of one (persistent kernels, uneven blocks). unit_share: of what one SM can take
    from the cache, that a lone one draws. dram_share: of the memory's bandwidth. cache_share: of
    what the SMs can take from the cache. resident_share: of a split cache, that one repeat leaves
    to the next. least_split: keys that a split block keeps. combine_cycles: joining the splits.
    overlap: exponent that joins products, loads, cache and memory; 1 adds them, large ones hide the
    smaller.
    """

    tile_rows: Literal[1, 16, 64, 128] = 64
    tiles: Literal["fixed", "fitted"] = "fixed"
    packing: Literal["heads", "groups", "lone"] = "groups"
    latent: Literal["expanded", "absorbed"] = "absorbed"
    most_splits: Literal[1, 16, 64, 256] = 1
    launch_cycles: Annotated[float, msgspec.Meta(ge=2e3, le=2e5)] = 2e4
    regroup_cycles: Annotated[float, msgspec.Meta(ge=20, le=6e4)] = 600.0
    row_traffic: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 1.5
    kv_traffic: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = 2.5
    tensor_share: Annotated[float, msgspec.Meta(ge=0.003, le=1)] = 0.7
    pair_cycles: Annotated[float, msgspec.Meta(ge=2e-4, le=2)] = 0.1
    block_cycles: Annotated[float, msgspec.Meta(ge=20, le=6e4)] = 6000.0
    blocks_per_unit: Annotated[float, msgspec.Meta(ge=1, le=16)] = 1.8
    wave_softness: Share = 0.4
    unit_share: Annotated[float, msgspec.Meta(ge=0.05, le=1)] = 0.6
    dram_share: Annotated[float, msgspec.Meta(ge=0.3, le=1)] = 0.9
    cache_share: Annotated[float, msgspec.Meta(ge=0.02, le=1)] = 0.4
    resident_share: Annotated[float, msgspec.Meta(ge=0.01, le=2)] = 0.4
    least_split: Annotated[float, msgspec.Meta(ge=16, le=4096)] = 250.0
    combine_cycles: Annotated[float, msgspec.Meta(ge=20, le=6e4)] = 4000.0
    overlap: Annotated[float, msgspec.Meta(ge=1, le=8)] = 2.5


_KINDS: dict[str, list[dict[str, Any]]] = {
    "gqa-prefill": [
        {"tile_rows": 128, "packing": packing, "tiles": tiles}
        for packing in ("heads", "groups", "lone")
        for tiles in ("fitted", "fixed")
    ],
    "mla-prefill": [
        {"tile_rows": rows, "packing": packing, "latent": latent}
        for packing, latent in (("heads", "expanded"), ("groups", "absorbed"))
        for rows in (128, 64)
    ],
    "gqa-decode": [
        {"tile_rows": rows, "most_splits": splits} for rows in (64, 16) for splits in (256, 16, 1)
    ],
    "mla-decode": [
        {"tile_rows": rows, "most_splits": splits} for rows in (64, 16) for splits in (256, 16, 1)
    ],
    "heads-decode": [
        *({"tile_rows": 1, "packing": "heads", "most_splits": splits} for splits in (64, 16, 256)),
        *({"tile_rows": 16, "most_splits": splits} for splits in (64, 16)),
    ],
}


def starts(family: str) -> tuple[AttentionConstants, ...]:
    """Where fits begin, one for each set of choices that kernels of this name may have made; the
    first is the prior of an unseen kernel: values in the middle of what was fitted.

    The name ends in what the kernel does: gqa-prefill, mla-prefill, gqa-decode, mla-decode, or
    heads-decode for decode without tensor cores. Raises BadInput for any other.
    """
    kind = family.rpartition("/")[2]
    if kind not in _KINDS:
        raise BadInput(
            f"is no family of attention kernels; its name must end in {', '.join(_KINDS)}",
            key="family",
            value=family,
        )
    prior = AttentionConstants()
    return tuple(msgspec.structs.replace(prior, **choices) for choices in _KINDS[kind])
