"""Measured rows -> what the machine is asked to do, as arrays over the rows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import number_format
from ...measured import Measurements
from ...roofline.dense import linear
from ...roofline.experts import expert_matrices
from ...workload.power_law import busiest_rank, power_law_loads

Floats = NDArray[np.float64]
LEAST_ACTIVATION_SIZE = 2.0
"""Bytes of an activation: the recorded kernels take and give 16-bit rows whatever the weights'
format; fp32 layers keep fp32."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of every measured row: `[rows]` each."""

    name: str
    flops: Floats
    weight_bytes: Floats
    activation_bytes: Floats


def moe_cases(table: Measurements, *, busiest: bool = False, seed: int = 0) -> list[Case]:
    """The two grouped products of a fused MoE layer on the device that was timed.

    Rows and touched experts are those of an even load: tokens * top_k / ep assignments dealt in
    turn to the local experts. With `busiest`, skewed rows take the busiest rank of loads drawn as
    the tables drew them (mean of five draws).
    """
    rows, touched = even_load(table)
    if busiest:
        rows, touched = _drawn_load(table, rows, touched, seed)
    hidden, inter = table["hidden"].astype(float), table["inter"] / table["tp"]
    up = np.where(table["gated"] > 0, 2.0, 1.0)
    size = sizes(table)
    activation = np.maximum(size, LEAST_ACTIVATION_SIZE)
    shapes = (("experts.gate_up", hidden, up * inter), ("experts.down", inter, hidden))
    return [
        Case(name=name, flops=flops, weight_bytes=weights, activation_bytes=moved)
        for name, inputs, outputs in shapes
        for flops, weights, moved in [
            expert_matrices(rows, touched, inputs, outputs, size, activation)
        ]
    ]


def gemm_cases(table: Measurements) -> list[Case]:
    """One dense product for each row."""
    m, n, k = (table[name].astype(float) for name in "mnk")
    size = sizes(table)
    flops, weights, moved = linear(m, k, n, size, np.maximum(size, LEAST_ACTIVATION_SIZE))
    return [Case(name="gemm", flops=flops, weight_bytes=weights, activation_bytes=moved)]


def sizes(table: Measurements) -> Floats:
    """Bytes per weight of each row's number format."""
    return _by_dtype(table, lambda name: number_format(name).bytes_per_element)


def _by_dtype(table: Measurements, value: Any) -> Floats:
    names, code = np.unique(table["dtype"].astype(str), return_inverse=True)
    return np.asarray(np.array([value(str(name)) for name in names])[code])


def even_load(table: Measurements) -> tuple[Floats, Floats]:
    """Rows and touched experts on one rank when assignments are dealt evenly; at least one row."""
    rows = np.maximum(1.0, table["num_tokens"] * table["topk"] / table["ep"])
    return rows, np.minimum(rows, table["num_experts"] / table["ep"])


def _drawn_load(
    table: Measurements, rows: Floats, touched: Floats, seed: int
) -> tuple[Floats, Floats]:
    names = table["distribution"].astype(str)
    exponent = np.array([float(n[2:]) if n.startswith("pl") else 0.0 for n in np.unique(names)])
    skew = exponent[np.unique(names, return_inverse=True)[1]]
    keys = np.stack(
        [table[c].astype(float) for c in ("num_tokens", "topk", "num_experts", "ep")] + [skew]
    )
    skewed = np.flatnonzero(skew > 0)
    distinct, code = np.unique(keys[:, skewed], axis=1, return_inverse=True)
    means = np.zeros((2, distinct.shape[1]))
    for i, (tokens, top_k, experts, ep, power) in enumerate(distinct.T):
        loads = power_law_loads(int(tokens), int(top_k), int(experts), power, seed=seed)
        rank = busiest_rank(loads, int(ep))
        means[:, i] = rank.sum(axis=1).mean(), (rank > 0).sum(axis=1).mean()
    rows, touched = rows.copy(), touched.copy()
    rows[skewed], touched[skewed] = means[:, code.ravel()]
    return rows, touched
