"""Token-level traces of two papers' tools: OLMoE's results and ExFlow's arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..trace import RoutingTrace
from .asked import Asked, trace_of
from .columns import MOST_CELLS, cube, nested_ids
from .json_records import records


class _Batch(msgspec.Struct):
    """One line: the tokens of a text, and `exp_ids [tokens][k][layers]`, k before layers."""

    exp_ids: list[list[list[int]]]
    input_ids: list[int] | None = None


def read_olmoe_results(path: str | Path, asked: Asked) -> RoutingTrace:
    """OLMoE's results.jsonl, a request a line. Source: allenai/OLMoE, scripts."""
    path = Path(path)
    ids: list[NDArray[np.int16]] = []
    tokens: list[NDArray[np.int64]] = []
    cells = 0
    for number, batch in enumerate(records(path, _Batch)):
        table = nested_ids(batch.exp_ids, path, f"exp_ids of line {number + 1}").swapaxes(1, 2)
        if ids and table.shape[1:] != ids[0].shape[1:]:
            raise BadInput("holds lines of different models", file=path, key=f"line {number + 1}")
        cells += table.size
        if cells > MOST_CELLS:
            raise BadInput("holds more ids than are read", file=path)
        ids.append(table.astype(np.int16))
        tokens.append(_token_ids(batch.input_ids, len(table), path, number))
    if not ids:
        raise BadInput("holds no exp_ids", file=path)
    lengths = [len(table) for table in ids]
    known = all(len(part) for part in tokens)
    return trace_of(
        path,
        np.concatenate(ids),
        asked,
        ["OLMoE results"],
        request_id=np.repeat(np.arange(len(ids)), lengths),
        position=np.concatenate([np.arange(length) for length in lengths]),
        token_id=np.concatenate(tokens) if known else None,
    )


def _token_ids(values: list[int] | None, count: int, path: Path, number: int) -> NDArray[np.int64]:
    """The tokens of one line; none where the line does not hold them."""
    if values is None:
        return np.zeros(0, np.int64)
    if len(values) != count or max(map(abs, values), default=0) >= 2**62:
        raise BadInput(
            f"must hold {count} token ids", file=path, key=f"input_ids of line {number + 1}"
        )
    return np.array(values, np.int64)


def exflow_trace(path: str | Path, table: NDArray[Any], asked: Asked) -> RoutingTrace:
    """ExFlow's array `[tokens, layers]` of top-1 experts. Source: YJHMITWEB/ExFlow, README.md."""
    if table.ndim != 2:
        raise BadInput(f"needs [tokens, layers], got the shape {table.shape}", file=path)
    ids = cube(table[:, :, None], path, "ids")
    return trace_of(path, ids, asked, ["ExFlow, top-1"])
