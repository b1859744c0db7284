"""The plain reference: boosted trees from a table's own columns to seconds, no model in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...measured import Measurements
from .boosted import grow
from .cases import by_name
from .families import FOLDS
from .fit import across_folds
from .prediction import Prediction
from .rows import Rows

Floats = NDArray[np.float64]

SIZES = {
    "moe": ("hidden", "inter", "num_experts", "topk", "gated", "tp", "ep", "num_tokens"),
    "gemm": ("m", "n", "k"),
    "attention": (
        "head_dim",
        "num_heads",
        "num_kv_heads",
        "batch_size",
        "query_tokens",
        "cached_tokens",
    ),
}
"""Kind of table -> the columns of numbers that describe a call."""
MOST_ROWS = 120_000
"""Rows that the reference is grown on, drawn from all of the other folds'."""


def boosted(table: Measurements, families: list[Rows], seed: int) -> Prediction:
    """Seconds of every row by trees that were grown without its shape."""
    features, names = sizes_of(table, families)
    measured = table["latency_s"].astype(float)
    fold = np.zeros(len(table), np.int64)
    for rows in families:
        fold[rows.where] = rows.fold
    seconds, learnt = np.zeros(len(table)), []
    for number in range(FOLDS):
        left_out = fold == number
        kept = np.flatnonzero(~left_out)
        if not left_out.any() or not kept.size:
            continue
        order = np.random.default_rng(seed).permutation(kept.size)[:MOST_ROWS]
        kept = np.sort(kept[order])
        trees = grow(features[kept], np.log(measured[kept]), names, seed=seed)
        seconds[left_out] = np.exp(trees(features[left_out]))
        learnt.append(left_out)
    if not learnt:
        seconds[:] = np.exp(np.median(np.log(measured)))
    return across_folds(seconds, measured, learnt)


def sizes_of(table: Measurements, families: list[Rows]) -> tuple[Floats, list[str]]:
    """The columns of SIZES as logarithms, the skew of the load, and a column for each family:
    `[rows, features]` and their names."""
    columns = {name: np.log2(table[name].astype(float) + 1) for name in SIZES[table.kind]}
    if "distribution" in table.columns:
        columns["skew"] = by_name(
            table["distribution"], lambda name: float(name[2:]) if name.startswith("pl") else 0.0
        )
    for rows in families:
        columns[rows.family] = np.zeros(len(table))
        columns[rows.family][rows.where] = 1.0
    return np.stack(list(columns.values()), axis=1), list(columns)
