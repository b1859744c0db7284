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

from ...base import BadInput
from ...workload import ExpertMap
from ..placement import Placement
from .file import Format, Table, fetch, rows_of, save


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    physical_to_logical_map: list[list[int]]


def encode(placed: ExpertMap, model_layers: int | None) -> bytes:
    """Layers that the map does not speak of get the order that SGLang starts with; without
    `model_layers` the last placed layer ends the file."""
    rows = model_layers if model_layers is not None else max(placed.layers) + 1
    table = np.tile(np.arange(placed.slots.shape[1]) % placed.experts, (rows, 1))
    table[list(placed.layers)] = placed.slots
    return msgspec.json.encode(_File(table.tolist())) + b"\n"


def decode(data: bytes, path: Path) -> Table:
    """A row for each layer of the model, from 0."""
    try:
        rows = msgspec.json.decode(data, type=_File).physical_to_logical_map
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(
            f"must hold `physical_to_logical_map` and nothing else, as SGLang reads it: {fault}",
            file=path,
        ) from None
    return Table(rows_of(rows, path))


SGLANG = Format(
    name="sglang",
    use="--init-expert-location FILE",
    suffixes=(".json",),
    rows="hidden layers",
    tells=lambda start: start.lstrip()[:1] == b"{" and b'"expert_to_ep_rank"' not in start,
    encode=encode,
    decode=decode,
)


def write(
    path: str | Path, placement: Placement | ExpertMap, model_layers: int | None = None
) -> None:
    """Writes FILE.json and the sidecar of a Placement, as `file.save` does."""
    save(SGLANG, path, placement, model_layers)


def read(
    path: str | Path,
    layers: tuple[int, ...] | None = None,
    experts: int | None = None,
    ranks: int | None = None,
) -> tuple[ExpertMap, Placement | None]:
    """The map and what its sidecar tells, as `file.fetch` does."""
    return fetch(SGLANG, path, layers, experts, ranks)
