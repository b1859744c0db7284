"""Two files that vLLM has been proposed to read; no release is known to load either.

`vllm`: `eplb_config.initial_expert_map_path`, JSON of the physical-to-logical map: `[[P], ...]`, a
row for each MoE layer in order, or one `[P]` for all of them (vllm-project/vllm PR 49572).
`vllm-ranks`: `--expert-placement-file`, `{"expert_to_ep_rank": [rank of expert 0, ...]}`, which
holds for every layer and knows no copies (PR 34811, issue 34297). The order of experts within a
rank is not in that file: it comes back ascending.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from ...base import BadInput
from ...workload import ExpertMap
from .file import Format, Table, rows_of


class _Ranks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expert_to_ep_rank: list[int]


def encode_map(placed: ExpertMap, model_layers: int | None) -> bytes:
    return msgspec.json.encode(placed.slots.tolist()) + b"\n"


def decode_map(data: bytes, path: Path) -> Table:
    try:
        rows = msgspec.json.decode(data, type=list[list[int] | int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"must be [P] or [[P], ...], as vLLM reads it: {fault}", file=path) from None
    flat = [row for row in rows if isinstance(row, int)]
    lists = [row for row in rows if isinstance(row, list)]
    if flat and lists:
        raise BadInput("mixes numbers and rows; vLLM reads [P] or [[P], ...]", file=path)
    return Table(rows_of([flat] if flat else lists, path), alike=bool(flat))


def encode_ranks(placed: ExpertMap, model_layers: int | None) -> bytes:
    """Raises BadInput for copies, and for layers that differ: the file can say neither."""
    homes = np.full(placed.slots.shape, -1, np.int64)
    if placed.slots.shape[1] != placed.experts:
        raise BadInput(
            f"{placed.slots.shape[1]} slots for {placed.experts} experts: vLLM's placement file "
            "knows no copies; write another format"
        )
    np.put_along_axis(homes, placed.slots.astype(np.int64), placed.ranks[None, :], axis=1)
    for layer, row in zip(placed.layers, homes, strict=True):
        if (row != homes[0]).any():
            raise BadInput(
                f"layer {layer} is placed otherwise than layer {placed.layers[0]}: vLLM's "
                "placement file holds one order for all; write another format"
            )
    return msgspec.json.encode(_Ranks(homes[0].tolist())) + b"\n"


def decode_ranks(data: bytes, path: Path) -> Table:
    try:
        ranks = msgspec.json.decode(data, type=_Ranks).expert_to_ep_rank
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(
            f"must hold `expert_to_ep_rank` and nothing else: {fault}", file=path
        ) from None
    homes = rows_of([ranks], path)[0]
    if homes.max() >= len(homes):
        raise BadInput(f"names rank {homes.max()} for {len(homes)} experts", file=path)
    counts = np.bincount(homes)
    if (counts != counts[0]).any():
        raise BadInput(
            f"gives the ranks unequal numbers of experts, {_short(counts.tolist())}", file=path
        )
    slots = np.argsort(homes, kind="stable")[None, :].astype(np.int64)
    return Table(slots, alike=True, experts=len(homes), ranks=len(counts))


def _short(values: list[int]) -> str:
    return str(values) if len(values) <= 16 else f"{values[:16]} ..."


VLLM = Format(
    name="vllm",
    use="eplb_config.initial_expert_map_path (proposed)",
    suffixes=(".json",),
    rows="MoE layers",
    tells=lambda start: start.lstrip()[:1] == b"[",
    encode=encode_map,
    decode=decode_map,
)
VLLM_RANKS = Format(
    name="vllm-ranks",
    use="--expert-placement-file FILE (proposed)",
    suffixes=(".json",),
    rows="MoE layers",
    tells=lambda start: start.lstrip()[:1] == b"{" and b'"expert_to_ep_rank"' in start,
    encode=encode_ranks,
    decode=decode_ranks,
)
