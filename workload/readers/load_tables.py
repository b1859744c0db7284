"""Tables of loads: our own .npz, EPLB weights, MoETuner profiles, load histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded, writing
from ..counts import RoutingCounts
from .asked import told
from .columns import built, counted, whole
from .json_records import MOST_BYTES
from .numpy_file import read_npz


def write_counts(counts: RoutingCounts, path: str | Path) -> None:
    """Writes the counts as our .npz, whole or not at all."""
    path = Path(path)
    if path.suffix != ".npz":
        raise BadInput("counts are written as .npz; end the name so", file=path)
    arrays: dict[str, Any] = {
        "loads": counts.loads,
        "layers": np.array(counts.layers, np.int64),
        "source": np.array(counts.source),
    }
    if counts.tokens is not None:
        arrays["tokens"] = counts.tokens
    if counts.transitions is not None:
        arrays |= {"transitions": counts.transitions, "pairs": np.array(counts.pairs, np.int64)}
    if counts.names:
        arrays["names"] = np.array(counts.names)
    with writing(path) as beside:
        np.savez_compressed(beside, **arrays)


def read_counts(path: str | Path) -> RoutingCounts:
    """Counts from our .npz: `loads [windows, layers, experts]`, `layers`, and what is known."""
    arrays = read_npz(path)
    if "loads" not in arrays or "layers" not in arrays:
        raise BadInput("lacks loads or layers", file=path)
    fields: dict[str, Any] = {}
    if "tokens" in arrays:
        fields["tokens"] = counted(arrays["tokens"], 1, path)
    if "transitions" in arrays:
        fields["transitions"] = counted(arrays["transitions"], 3, path)
        pairs = arrays.get("pairs", np.zeros((0, 2), np.int64))
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise BadInput("must hold two layers a row", file=path, key="pairs")
        fields["pairs"] = tuple((int(a), int(b)) for a, b in pairs)
    if "names" in arrays:
        fields["names"] = tuple(_texts(arrays["names"], 1, "names", path).tolist())
    if "source" in arrays:
        fields["source"] = str(_texts(arrays["source"], 0, "source", path)[()])
    return built(
        RoutingCounts,
        path,
        loads=counted(arrays["loads"], 3, path),
        layers=tuple(whole(arrays["layers"], "layers", path).tolist()),
        **fields,
    )


def _texts(values: NDArray[Any], axes: int, key: str, path: str | Path) -> NDArray[Any]:
    if values.dtype.kind != "U" or values.ndim != axes:
        raise BadInput("must be text", file=path, key=key)
    try:
        "".join(values.ravel().tolist()).encode()
    except (UnicodeError, ValueError):
        raise BadInput("must be text", file=path, key=key) from None
    return values


def eplb_weight(path: str | Path, weight: NDArray[Any]) -> RoutingCounts:
    """Loads as DeepSeek's EPLB takes them: `weight [layers, experts]`."""
    return built(
        RoutingCounts,
        path,
        loads=counted(weight, 2, path)[None],
        layers=tuple(range(weight.shape[0])),
        source=told(path, "EPLB weight"),
    )


def read_moetuner(path: str | Path) -> RoutingCounts:
    """A MoETuner profile: loads `P [layers, experts]`, and `R [layers - 1, experts, experts]` from
    each layer to the next. Source: arXiv 2502.06643, section 4, and its profile files."""
    arrays = read_npz(path)
    if "P" not in arrays or "R" not in arrays:
        raise BadInput("lacks P or R", file=path)
    loads = counted(arrays["P"], 2, path)
    moves = counted(arrays["R"], 3, path)
    if len(moves) != len(loads) - 1:
        raise BadInput(
            f"must lead from each of {len(loads)} layers to its next", file=path, key="R"
        )
    return built(
        RoutingCounts,
        path,
        loads=loads[None],
        layers=tuple(range(len(loads))),
        transitions=moves if len(moves) else None,
        pairs=tuple((i, i + 1) for i in range(len(moves))),
        source=told(path, "MoETuner profile"),
    )


class _Window(msgspec.Struct):
    logical_expert_load: list[list[float]]


class _History(msgspec.Struct):
    load_history: list[_Window]


def read_load_history(path: str | Path) -> RoutingCounts:
    """`{"load_history": [{"logical_expert_load": [layers][experts]}, ...]}`, a window an entry."""
    try:
        history = msgspec.json.decode(read_bounded(path, MOST_BYTES), type=_History).load_history
        tables = np.array([window.logical_expert_load for window in history], np.float64)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as fault:
        raise BadInput(f"is no load history: {fault}", file=path) from None
    return built(
        RoutingCounts,
        path,
        loads=counted(tables, 3, path),
        layers=tuple(range(tables.shape[1])),
        source=told(path, "load history"),
    )
