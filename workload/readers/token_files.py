"""Token-level traces: the npz tables of the examples, and our own Parquet.

The Parquet holds a row a token. Columns: `expert_<layer>_<choice>` and, where weights are known,
`weight_<layer>_<choice>`, counted from 0 in order of the MoE layers, best choice first; then those
of request_id, position, is_decode, token_id, domain, source_rank that are known. Its metadata
say the number of experts, the absolute layers and the source.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, parquet
from ..trace import COLUMNS, RoutingTrace
from .columns import MOST_CELLS, built, expert_ids, experts_of, whole
from .numpy_file import read_npz

MOST_GRID = 2**14
_NPZ_COLUMNS = {
    "request_id": "request_id",
    "position": "position",
    "token_id": "token_id",
    "domain": "domain_id",
}
_PLAIN = tuple(name for name in COLUMNS if name not in ("weights", "is_decode"))


class _Told(msgspec.Struct, frozen=True):
    """What the metadata of our Parquet say, as JSON under the key `trace`."""

    experts: int
    top_k: int
    layers: tuple[int, ...]
    weights: bool = False
    domain_names: tuple[str, ...] = ()
    source: str = ""
    format: Literal[1] = 1


class _Config(msgspec.Struct):
    E: int
    renorm: bool = False


class _Meta(msgspec.Struct):
    """What is needed of the `meta` text of an npz trace."""

    config: _Config
    domains: tuple[str, ...] = ()
    variant: str = ""


def read_npz_trace(path: str | Path) -> RoutingTrace:
    """A trace in the npz layout of `examples/data`: `expert_ids [tokens, layers, k]` and `meta`.

    Weights are the recorded softmax shares of the executed experts (8 bits), renormalised over
    them where the model does so.
    """
    arrays = read_npz(path)
    meta = _meta(arrays, path)
    experts = experts_of(meta.config.E, path)
    ids = arrays["expert_ids"]
    if ids.ndim != 3:
        raise BadInput(
            f"needs the shape [tokens, layers, k], got {ids.shape}", file=path, key="expert_ids"
        )
    columns: dict[str, Any] = {
        ours: whole(arrays[theirs], theirs, path)
        for ours, theirs in _NPZ_COLUMNS.items()
        if theirs in arrays
    }
    if "is_decode" in arrays:
        columns["is_decode"] = whole(arrays["is_decode"], "is_decode", path) != 0
    if "probs_u8" in arrays:
        columns["weights"] = _weights(arrays["probs_u8"], ids.shape, meta.config.renorm, path)
    return built(
        RoutingTrace,
        path,
        expert_ids=expert_ids(ids, experts, path),
        experts=experts,
        layers=tuple(range(ids.shape[1])),
        domain_names=meta.domains,
        source=f"{Path(path).name} ({meta.variant})" if meta.variant else Path(path).name,
        **columns,
    )


def _meta(arrays: dict[str, NDArray[Any]], path: str | Path) -> _Meta:
    text = arrays.get("meta")
    if text is None or text.dtype.kind != "U" or text.ndim != 0:
        raise BadInput("lacks the text that states the number of experts", file=path, key="meta")
    try:
        return msgspec.json.decode(str(text[()]), type=_Meta)
    except (msgspec.DecodeError, RecursionError, ValueError) as fault:
        raise BadInput(
            f"is not the description of a trace: {fault}", file=path, key="meta"
        ) from None


def _weights(
    probs: NDArray[Any], shape: tuple[int, ...], renormalised: bool, path: str | Path
) -> NDArray[np.float32]:
    if probs.dtype != np.uint8 or probs.shape[:2] != shape[:2] or probs.ndim != 3:
        raise BadInput("must be uint8 [tokens, layers, >= k]", file=path, key="probs_u8")
    if probs.shape[2] < shape[2]:
        raise BadInput(f"holds fewer than {shape[2]} choices", file=path, key="probs_u8")
    weights = probs[:, :, : shape[2]] / np.float32(255)
    if renormalised:
        weights = weights / np.maximum(weights.sum(axis=2, keepdims=True), np.float32(1 / 255))
    return weights.astype(np.float32)


def write_parquet_trace(trace: RoutingTrace, path: str | Path) -> None:
    """Writes the trace as our Parquet, whole or not at all."""
    told = _Told(
        experts=trace.experts,
        top_k=trace.top_k,
        layers=trace.layers,
        weights=trace.weights is not None,
        domain_names=trace.domain_names,
        source=trace.source,
    )
    if len(trace.layers) * trace.top_k > MOST_GRID:
        raise BadInput(
            f"would need {len(trace.layers) * trace.top_k} columns; at most {MOST_GRID} are read",
            file=path,
        )
    columns: dict[str, NDArray[Any]] = {}
    for kind, values in (("expert", trace.expert_ids), ("weight", trace.weights)):
        if values is not None:
            flat = values.reshape(trace.tokens, -1)
            columns |= {name: flat[:, i] for i, name in enumerate(_grid(kind, told))}
    for name in (*_PLAIN, "is_decode"):
        column = getattr(trace, name)
        if column is not None:
            columns[name] = column
    parquet.write(path, columns, {"trace": msgspec.json.encode(told).decode()})


def read_parquet_trace(path: str | Path) -> RoutingTrace:
    """A trace from our Parquet; raises BadInput where columns, types or ids are not as told."""
    told = _told(path)
    grids = {"expert": _grid("expert", told)}
    if told.weights:
        grids["weight"] = _grid("weight", told)
    kinds = dict.fromkeys(grids["expert"], "int") | dict.fromkeys(grids.get("weight", ()), "float")
    kinds |= {name: "bool" if name == "is_decode" else "int" for name in (*_PLAIN, "is_decode")}
    optional = (*_PLAIN, "is_decode")
    table = parquet.read(path, kinds, optional=optional, most_rows=MOST_CELLS // len(kinds))
    shape = (len(table["expert_0_0"]), len(told.layers), told.top_k)
    columns: dict[str, Any] = {
        name: whole(table[name], name, path) for name in _PLAIN if name in table
    }
    if "is_decode" in table:
        columns["is_decode"] = whole(table["is_decode"], "is_decode", path) != 0
    if "weight" in grids:
        weights = np.stack([table[name] for name in grids["weight"]], axis=1)
        columns["weights"] = weights.reshape(shape).astype(np.float32)
    ids = np.stack([table[name] for name in grids["expert"]], axis=1).reshape(shape)
    return built(
        RoutingTrace,
        path,
        expert_ids=expert_ids(ids, told.experts, path),
        experts=told.experts,
        layers=told.layers,
        domain_names=told.domain_names,
        source=told.source,
        **columns,
    )


def _told(path: str | Path) -> _Told:
    metadata = parquet.metadata(path)
    if "trace" not in metadata:
        raise BadInput("is no routing trace of ours: its metadata lack it", file=path, key="trace")
    try:
        told = msgspec.json.decode(metadata["trace"], type=_Told)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise BadInput(f"has damaged metadata: {fault}", file=path, key="trace") from None
    experts_of(told.experts, path)
    if not 1 <= told.top_k <= told.experts or not 1 <= len(told.layers) * told.top_k <= MOST_GRID:
        raise BadInput("states an impossible shape", file=path, key="trace")
    return told


def _grid(kind: str, told: _Told) -> list[str]:
    """The columns of one kind, layer by layer."""
    return [
        f"{kind}_{layer}_{choice}"
        for layer in range(len(told.layers))
        for choice in range(told.top_k)
    ]
