"""What SGLang's expert distribution recorder wrote: stat, per_pass and per_token files.

`stat` and `stat_approx` hold `logical_count [steps, layers, experts]`, summed over ranks.
`per_pass` and `per_token` hold one record a forward pass and rank, by physical expert; the map that
stood at the end of the recording makes them logical. per_token adds the ids of every token, which
make a trace; SGLang keeps no request ids. Rows are hidden layers: those without load are dense.
Source: sgl-project/sglang, python/sglang/srt/eplb/expert_distribution.py, eplb_simulator/reader.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..counts import RoutingCounts
from ..trace import NOTHING, RoutingTrace
from .asked import Routing, told
from .columns import MOST_COUNTS, built, counted, expert_ids, experts_of, logical, slot_owners

Record = Mapping[str, Any]
DECODE, MIXED = 2, 3
"""Values of SGLang's ForwardMode: one new token a request, and that beside chunks of prompts."""


def is_recording(value: Any) -> bool:
    return isinstance(value, dict) and ("logical_count" in value or "records" in value)


def recording(path: Path, files: Mapping[Path, Any]) -> Routing:
    """The routing in the files of one recording: one file of rank 0, or one of each rank."""
    if not all(is_recording(value) for value in files.values()):
        raise BadInput("holds a file that SGLang's recorder did not write", file=path)
    stat = ["logical_count" in value for value in files.values()]
    if any(stat) and not all(stat):
        raise BadInput("holds recordings of two modes; give each its own folder", file=path)
    if all(stat):
        return _steps(path, [value["logical_count"] for value in files.values()])
    records = [record for value in files.values() for record in _records(value, path)]
    if not records:
        raise BadInput(NOTHING, file=path, key="records")
    keys = [(_pass(one, path), _rank(one, path), _gatherer(one, path)) for one in records]
    if len(set(keys)) < len(keys):
        raise BadInput(
            "holds a pass of a rank twice; give each recording its own folder", file=path
        )
    owners = _owners([value.get("last_physical_to_logical_map") for value in files.values()], path)
    if any("topk_ids_of_layer" in record for record in records):
        return _tokens(path, records, owners)
    return _passes(path, records, owners)


def _steps(path: Path, tables: Sequence[Any]) -> RoutingCounts:
    """Counts of stat mode; files of one folder follow one another in time."""
    held = [counted(_array(table, "logical_count", path), 3, path) for table in tables]
    if any(table.shape[1:] != held[0].shape[1:] for table in held):
        raise BadInput("holds recordings of different models", file=path, key="logical_count")
    loads = np.concatenate(held)
    seen = np.flatnonzero(loads.any(axis=(1, 2)))  # the buffer may hold steps that never came
    names = tuple(f"step {i}" for i in seen)
    return _counts(path, loads[seen], names, "SGLang stat")


def _passes(path: Path, records: Sequence[Record], owners: NDArray[np.int64]) -> RoutingCounts:
    """Counts of each forward pass, summed over ranks and micro-batches as SGLang does."""
    passes: dict[int, NDArray[np.float64]] = {}
    for record in records:
        table = counted(_array(record.get("global_physical_count"), "counts", path), 2, path)
        if table.shape != owners.shape:
            raise BadInput(f"must have the shape {owners.shape}", file=path, key="counts")
        number = _pass(record, path)
        passes[number] = passes[number] + table if number in passes else table
        if len(passes) * table.size > MOST_COUNTS:
            raise BadInput("holds more counts than are read", file=path)
    order = sorted(passes)
    loads = logical(np.stack([passes[number] for number in order]), owners, path)
    seen = np.flatnonzero(loads.any(axis=(1, 2)))
    names = tuple(f"pass {order[i]}" for i in seen)
    return _counts(path, loads[seen], names, f"SGLang per_pass; {_ranks(records)} ranks")


def _counts(
    path: Path, loads: NDArray[np.float64], names: tuple[str, ...], note: str
) -> RoutingCounts:
    layers = np.flatnonzero(loads.any(axis=(0, 2))) if len(loads) else np.arange(0)
    if not len(layers):
        raise BadInput(NOTHING, file=path)
    return built(
        RoutingCounts,
        path,
        loads=loads[:, layers],
        layers=tuple(layers.tolist()),
        names=names,
        source=told(path, note, *_dense(loads.shape[1] - len(layers))),
    )


def _tokens(path: Path, records: Sequence[Record], owners: NDArray[np.int64]) -> RoutingTrace:
    """The trace of per_token mode, pass by pass, rank by rank.

    Ranks that share a batch (tensor parallelism) record the same tokens; such copies count once.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    seen: set[tuple[int, bytes]] = set()
    copies = 0
    for record in sorted(records, key=lambda one: (_pass(one, path), _rank(one, path))):
        part = _record_tokens(record, owners, path)
        digest = hashlib.sha256()
        for name in ("ids", "position", "token_id"):
            digest.update(part[name].tobytes())
        key = (_pass(record, path), digest.digest())
        if key in seen and len(part["ids"]):
            copies += len(part["ids"])
            continue
        seen.add(key)
        parts.append(part)
    if any(part["ids"].shape[2] != parts[0]["ids"].shape[2] for part in parts):
        raise BadInput("holds records of different widths", file=path, key="topk_ids_of_layer")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = columns.pop("ids")
    layers = np.flatnonzero((ids >= 0).any(axis=(0, 2)))
    width = int((ids >= 0).any(axis=(0, 1)).sum())
    if not len(layers):
        raise BadInput(NOTHING, file=path)
    experts = experts_of(int(owners.max()) + 1, path)
    notes = [f"SGLang per_token; {_ranks(records)} ranks", *_dense(ids.shape[1] - len(layers))]
    if copies:
        notes.append(f"{copies} copies on other ranks left out")
    return built(
        RoutingTrace,
        path,
        expert_ids=expert_ids(ids[:, layers, :width], experts, path),
        experts=experts,
        layers=tuple(layers.tolist()),
        source=told(path, *notes),
        **columns,
    )


def _record_tokens(
    record: Record, owners: NDArray[np.int64], path: Path
) -> dict[str, NDArray[Any]]:
    """The columns of one record; logical ids `[tokens, layers, k]`, left-aligned by choice."""
    slots = _array(record.get("topk_ids_of_layer"), "topk_ids_of_layer", path)
    if slots.ndim != 3 or slots.dtype.kind not in "iu" or slots.shape[0] != len(owners):
        raise BadInput(
            f"needs whole numbers [{len(owners)} layers, tokens, k], got {slots.dtype} "
            f"{slots.shape}",
            file=path,
            key="topk_ids_of_layer",
        )
    if slots.size and (slots.min() < -1 or slots.max() >= owners.shape[1]):
        raise BadInput(
            f"allowed are the slots 0..{owners.shape[1] - 1}, and -1 for none",
            file=path,
            key="topk_ids_of_layer",
        )
    found = np.where(slots < 0, -1, owners[np.arange(len(owners))[:, None, None], slots])
    tokens = slots.shape[1]
    columns = {
        "token_id": _column(record, "input_ids", tokens, path),
        "position": _column(record, "positions", tokens, path),
        "is_decode": _decoding(record, tokens),
        "source_rank": np.full(tokens, _rank(record, path), np.int64),
    }
    return {"ids": np.ascontiguousarray(found.swapaxes(0, 1).astype(np.int16)), **columns}


def _decoding(record: Record, tokens: int) -> NDArray[np.bool_]:
    """Which tokens were generated; in a mixed batch those of requests that gave a single token."""
    mode, lengths = record.get("forward_mode"), _integers(record.get("extend_seq_lens"))
    if mode == MIXED and lengths and sum(lengths) == tokens and min(lengths) >= 0:
        return np.repeat(np.array(lengths) == 1, lengths)
    return np.full(tokens, mode == DECODE)


def _column(record: Record, key: str, tokens: int, path: Path) -> NDArray[np.int64]:
    values = _integers(record.get(key))
    if values is None or len(values) != tokens or max(map(abs, values), default=0) >= 2**62:
        raise BadInput(f"must be {tokens} whole numbers", file=path, key=key)
    return np.array(values, np.int64)


def _integers(values: Any) -> list[int] | None:
    """The value where it is a list of whole numbers."""
    if isinstance(values, list) and all(type(value) is int for value in values):
        return values
    return None


def _records(value: Record, path: Path) -> list[Record]:
    records = value["records"]
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise BadInput("must be a list of records", file=path, key="records")
    return records


def _owners(maps: Sequence[Any], path: Path) -> NDArray[np.int64]:
    """The map from physical to logical experts, on which all ranks must agree."""
    tables = [
        slot_owners(_array(table, "last_physical_to_logical_map", path), path) for table in maps
    ]
    if any(not np.array_equal(table, tables[0]) for table in tables):
        raise BadInput(
            "differs from file to file: these are no ranks of one recording",
            file=path,
            key="last_physical_to_logical_map",
        )
    return tables[0]


def _array(value: Any, key: str, path: Path) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise BadInput("must be a tensor", file=path, key=key)
    return value


def _pass(record: Record, path: Path) -> int:
    return _number(record, "forward_pass_id", path)


def _rank(record: Record, path: Path) -> int:
    return _number(record, "rank", path)


def _gatherer(record: Record, path: Path) -> str:
    value = record.get("gatherer_key", "primary")
    if not isinstance(value, str):
        raise BadInput("must be text", file=path, key="gatherer_key")
    return value


def _number(record: Record, key: str, path: Path) -> int:
    value = record.get(key)
    if type(value) is not int or not 0 <= value < 2**62:
        raise BadInput("must be a whole number that is not negative", file=path, key=key)
    return value


def _ranks(records: Sequence[Record]) -> int:
    return len({record.get("rank") for record in records if type(record.get("rank")) is int})


def _dense(count: int) -> list[str]:
    return [f"{count} layers without load left out"] if count else []
