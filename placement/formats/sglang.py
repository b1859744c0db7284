"""SGLang's `--init-expert-location FILE.json`.

The file is `{"physical_to_logical_map": [[expert of slot 0, slot 1, ...], ...]}`, one row for each
layer of the model, dense ones too, in order; slot s lies on rank s // (slots / ranks). SGLang hands
every key on as an argument, so another key makes it fail: what we know more lies in a sidecar.
Source: sgl-project/sglang, python/sglang/srt/eplb/expert_location.py at 01fec5c.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded, write_text
from ...workload import ExpertMap
from ..placement import Placement
from . import sidecar


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    physical_to_logical_map: list[list[int]]


def write(path: str | Path, placement: Placement, model_layers: int | None = None) -> None:
    """Writes FILE.json and its sidecar FILE.meta.json.

    model_layers: hidden layers of the model, without it the last placed layer ends the file. Layers
    that the placement does not speak of get the order that SGLang starts with. Raises BadInput for
    a map that SGLang would refuse.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise BadInput("SGLang knows its files by the ending .json", file=path)
    placed = placement.expert_map
    refuse(placed, path)
    rows = model_layers if model_layers is not None else max(placed.layers) + 1
    if rows <= max(placed.layers):
        raise BadInput(
            f"the placement speaks of layer {max(placed.layers)}; a model of {rows} has none",
            key="model_layers",
        )
    table = np.tile(np.arange(placed.slots.shape[1]) % placed.experts, (rows, 1))
    table[list(placed.layers)] = placed.slots
    sidecar.write(path, placement)
    write_text(path, msgspec.json.encode(_File(table.tolist())).decode() + "\n")


def read(
    path: str | Path, layers: tuple[int, ...], experts: int, ranks: int | None = None
) -> tuple[ExpertMap, Placement | None]:
    """The map of the given absolute layers, and the placement where a sidecar tells of it.

    Without a sidecar `ranks` must be given. Raises BadInput for what SGLang would refuse.
    """
    table = _table(path)
    known = sidecar.read(path)
    if known is not None and ranks is not None and max(known.ranks) + 1 != ranks:
        raise BadInput(f"was made for {max(known.ranks) + 1} ranks", file=path, value=ranks)
    if known is not None and known.experts != experts:
        raise BadInput(f"was made for {known.experts} experts", file=path, value=experts)
    if ranks is None:
        if known is None:
            raise BadInput("has no sidecar that tells the ranks; give their number", file=path)
        ranks = max(known.ranks) + 1
    if max(layers) >= len(table):
        raise BadInput(f"holds {len(table)} layers; layer {max(layers)} is asked for", file=path)
    slots = table.shape[1]
    if ranks < 1 or slots % ranks:
        raise BadInput(f"has {slots} slots, which {ranks} ranks do not share evenly", file=path)
    try:
        placed = ExpertMap(
            slots=table[list(layers)].astype(np.int32),
            ranks=(np.arange(slots) // (slots // ranks)).astype(np.int32),
            layers=layers,
            experts=experts,
        )
    except BadInput as fault:
        raise BadInput(fault.what, file=path, key=fault.key, value=fault.value) from None
    refuse(placed, path)
    same = known is not None and tuple(known.layers) == layers
    return placed, known.placement(placed) if known is not None and same else None


def refuse(placed: ExpertMap, file: str | Path) -> None:
    """Raises BadInput for ranks of unequal slot counts and for two copies on one rank."""
    counts = np.bincount(placed.ranks)
    if (counts != counts[0]).any() or (np.diff(placed.ranks) < 0).any():
        raise BadInput(
            f"SGLang wants equally many slots on each rank, in rank order; here are "
            f"{counts.tolist()}: choose a number of ranks that divides the slots",
            file=file,
        )
    by_rank = np.sort(placed.slots.reshape(len(placed.layers), len(counts), -1), axis=2)
    twice = np.argwhere(np.diff(by_rank, axis=2) == 0)
    if len(twice):
        layer, rank, place = twice[0]
        raise BadInput(
            f"rank {rank} holds expert {by_rank[layer, rank, place]} of layer "
            f"{placed.layers[layer]} twice: a wasted slot, and wrong results in some engines",
            file=file,
        )


def _table(path: str | Path) -> NDArray[np.int64]:
    """The map `[layers, slots]` of the file."""
    try:
        rows = msgspec.json.decode(read_bounded(path), type=_File).physical_to_logical_map
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(
            f"must hold `physical_to_logical_map` and nothing else, as SGLang reads it: {fault}",
            file=path,
        ) from None
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise BadInput("needs equally long rows, one a layer", file=path)
    if any(not 0 <= expert < 2**31 for row in rows for expert in row):
        raise BadInput("holds an expert below 0 or beyond all bounds", file=path)
    return np.array(rows, np.int64)
