"""Measured rows -> what the machine is asked to do, as arrays over the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import number_format
from ...measured import Measurements
from ...roofline.dense import linear
from ...roofline.experts import expert_matrices
from ...workload.activated import touch_chance
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


def moe_cases(
    table: Measurements, *, busiest: bool = False, active: bool = False, seed: int = 0
) -> list[Case]:
    """The two grouped products of a fused MoE layer on the device that was timed.

    Rows and touched experts are those of an even load. With `busiest`, skewed rows take the
    busiest rank of loads drawn as the tables drew them, the mean of five draws. (Pricing every
    draw before the mean moves no error of the H100 table by more than 0.1 points.) `active`: only
    the experts of a single token are read, as a roofline of active parameters has it.
    """
    rows, touched = even_share(table)
    if busiest:
        rows, touched = drawn_load(table, rows, touched, seed)
    if active:
        touched = np.minimum(touched, table["topk"])
    hidden, inter = table["hidden"].astype(float), table["inter"] / table["tp"]
    up = np.where(table["gated"] > 0, 2.0, 1.0)
    size = sizes(table)
    activation = np.maximum(size, LEAST_ACTIVATION_SIZE)
    shapes = (("experts.gate_up", hidden, up * inter), ("experts.down", inter, hidden))
    cases = []
    for name, inputs, outputs in shapes:
        flops, weights, moved = expert_matrices(rows, touched, inputs, outputs, size, activation)
        cases.append(Case(name=name, flops=flops, weight_bytes=weights, activation_bytes=moved))
    return cases


def gemm_cases(table: Measurements) -> list[Case]:
    """One dense product for each row."""
    m, n, k = (table[name].astype(float) for name in "mnk")
    size = sizes(table)
    flops, weights, moved = linear(m, k, n, size, np.maximum(size, LEAST_ACTIVATION_SIZE))
    return [Case(name="gemm", flops=flops, weight_bytes=weights, activation_bytes=moved)]


def sizes(table: Measurements) -> Floats:
    """Bytes per weight of each row's number format."""
    return by_name(table["dtype"], lambda name: number_format(name).bytes_per_element)


def by_name(column: NDArray[Any], value: Callable[[str], float]) -> Floats:
    """`value` of each name in the column `[rows]`, asked once for each distinct name."""
    names, code = np.unique(column.astype(str), return_inverse=True)
    return np.asarray(np.array([value(name) for name in names.tolist()])[code], np.float64)


def even_share(table: Measurements) -> tuple[Floats, Floats]:
    """Rows and touched experts on one rank that gets its even share of the assignments.

    Dealt in turn, n rows meet min(n, local experts), and a rank without any would not be timed;
    tokens that choose at random (distribution uniform) meet an expectation.
    """
    tokens, top_k, experts = (table[c].astype(float) for c in ("num_tokens", "topk", "num_experts"))
    rows = np.maximum(1.0, tokens * top_k / table["ep"])
    local = experts / table["ep"]
    uniform = table["distribution"].astype(str) == "uniform"
    dealt = np.minimum(rows, local)
    return rows, np.where(uniform, local * touch_chance(top_k / experts, tokens), dealt)


def skew_of(table: Measurements) -> Floats:
    """The exponent of each row's power law, 0 where its load is not skewed."""
    return by_name(table["distribution"], lambda n: float(n[2:]) if n.startswith("pl") else 0.0)


def drawn_load(
    table: Measurements, rows: Floats, touched: Floats, seed: int
) -> tuple[Floats, Floats]:
    """The load with that of skewed rows replaced by the busiest rank of loads drawn for them."""
    skew = skew_of(table)
    columns = [table[c].astype(float) for c in ("num_tokens", "topk", "num_experts", "ep")]
    skewed = np.flatnonzero(skew > 0)
    keys = np.stack([*columns, skew])[:, skewed]
    distinct, code = np.unique(keys, axis=1, return_inverse=True)
    means = np.zeros((2, distinct.shape[1]))
    for i, (tokens, top_k, experts, ep, power) in enumerate(distinct.T):
        loads = power_law_loads(int(tokens), int(top_k), int(experts), power, ep=int(ep), seed=seed)
        rank = busiest_rank(loads, int(ep))
        means[:, i] = rank.sum(axis=1).mean(), (rank > 0).sum(axis=1).mean()
    rows, touched = rows.copy(), touched.copy()
    rows[skewed], touched[skewed] = means[:, code.ravel()]
    return rows, touched
