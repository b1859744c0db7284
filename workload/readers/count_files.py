"""Files that count tokens per expert: OLMoE's tables, Fiddler's popularity.

Both hold several models, which are given by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..config_fields import read_json
from ..counts import RoutingCounts
from .columns import built, counted, whole
from .numpy_file import read_npz

MOST_BYTES = 256 * 2**20


def read_olmoe_counts(path: str | Path) -> dict[str, RoutingCounts]:
    """Counts of each model in an npz with `<model>/<domain>/counts_topk [layers, experts]`.

    A window is a domain. `cross [pairs, experts, experts]` becomes the transitions, summed over
    domains: its layer pairs are not adjacent, and it joins equal ranks only (best with best).
    """
    arrays = read_npz(path)
    parts = [name.split("/") for name in arrays if name.endswith("/counts_topk")]
    domains: dict[str, list[str]] = {}
    for model, domain in (part[:2] for part in parts if len(part) == 3):
        domains.setdefault(model, []).append(domain)
    if not domains or "layers" not in arrays:
        raise BadInput("holds no <model>/<domain>/counts_topk with layers", file=path)
    return {model: _olmoe(arrays, model, names, path) for model, names in domains.items()}


def _olmoe(
    arrays: dict[str, NDArray[Any]], model: str, domains: list[str], path: str | Path
) -> RoutingCounts:
    loads = [counted(arrays[f"{model}/{name}/counts_topk"], 2, path) for name in domains]
    cross = [arrays.get(f"{model}/{name}/cross") for name in domains]
    pairs: tuple[tuple[int, int], ...] = ()
    transitions = None
    if "cross_layer_pairs" in arrays and all(one is not None for one in cross):
        joined = [counted(one, 3, path) for one in cross if one is not None]
        transitions = _stack(joined, path).sum(axis=0)
        told = counted(arrays["cross_layer_pairs"], 2, path).astype(np.int64)
        if told.shape[1] != 2:
            raise BadInput("must hold two layers a row", file=path, key="cross_layer_pairs")
        pairs = tuple((int(a), int(b)) for a, b in told)
    return built(
        RoutingCounts,
        path,
        loads=_stack(loads, path),
        layers=tuple(whole(arrays["layers"], "layers", path).tolist()),
        transitions=transitions,
        pairs=pairs,
        names=tuple(domains),
        source=f"{Path(path).name}: {model}",
    )


class _Popularity(msgspec.Struct):
    """One entry of Fiddler's file: how often each expert was chosen, `[layers][experts]`."""

    expert_popularity: list[list[float]]


def read_fiddler_counts(path: str | Path) -> dict[str, RoutingCounts]:
    """Counts of each variant in Fiddler's JSON {variant/subject: {expert_popularity}}.

    A window is a subject. Its `total_input_tokens` do not match the counts and are not used.
    """
    data = read_json(path, MOST_BYTES)
    subjects: dict[str, dict[str, NDArray[np.float64]]] = {}
    for key, entry in data.items():
        variant, _, subject = key.rpartition("/")
        try:
            rows = msgspec.convert(entry, _Popularity).expert_popularity
            table = np.array(rows, dtype=np.float64)
        except (msgspec.ValidationError, ValueError) as fault:
            raise BadInput(f"is no table of counts: {fault}", file=path, key=key) from None
        subjects.setdefault(variant or "counts", {})[subject] = counted(table, 2, path)
    if not subjects:
        raise BadInput("holds no counts", file=path)
    return {
        variant: built(
            RoutingCounts,
            path,
            loads=_stack(list(tables.values()), path),
            layers=tuple(range(len(next(iter(tables.values()))))),
            names=tuple(tables),
            source=f"{Path(path).name}: {variant}",
        )
        for variant, tables in subjects.items()
    }


def _stack(tables: list[NDArray[np.float64]], path: str | Path) -> NDArray[np.float64]:
    if any(table.shape != tables[0].shape for table in tables):
        raise BadInput("holds tables of different shapes", file=path, key="counts")
    return np.stack(tables)
