"""Measured MoE rows -> what the tile model is asked, kernel family by kernel family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...base import number_format
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import ExpertCall, ExpertLoad, Machine, even_load, every_slot, load_of
from ...workload.power_law import busiest_rank, power_law_loads
from .cases import skew_of
from .rows import Rows, family_names, shape_numbers, taken

Floats = NDArray[np.float64]

SHAPE = ("hidden", "inter", "num_experts", "topk")
"""What makes two rows the same shape, however it is split and loaded."""


def moe_families(table: Measurements, device: AnyDevice, seed: int = 0) -> Iterator[Rows]:
    """The families of a MoE table in order of their names; skewed loads are drawn by `seed`."""
    load, names = table_load(table, seed), family_names(table)
    shape = shape_numbers(table, SHAPE)
    for family in np.unique(names).tolist():
        where = np.flatnonzero(names == family)
        dtype = str(table["dtype"][where[0]])
        yield Rows(
            family=family,
            kernel="experts",
            where=where,
            shape=shape[where],
            measured_s=table["latency_s"][where].astype(float),
            asked=_call(table, where, dtype, taken(load, where)),
            machine=Machine.of(device, dtype),
        )


def _call(
    table: Measurements, where: NDArray[np.int64], dtype: str, assigned: ExpertLoad
) -> ExpertCall:
    def column(name: str) -> Floats:
        return np.asarray(table[name][where], np.float64)

    form = number_format(dtype)
    tokens, top_k, experts = column("num_tokens"), column("topk"), column("num_experts")
    local_experts = experts / column("ep")
    return ExpertCall(
        tokens=tokens,
        group_rows=tokens * top_k,
        local_experts=local_experts,
        hidden=column("hidden"),
        inter=column("inter") / column("tp"),
        matrices_in=np.where(column("gated") > 0, 2.0, 1.0),
        weight_size=form.bytes_per_element,
        activation_size=form.operand_bytes,
        assigned=assigned,
        reached=every_slot(tokens, assigned, top_k),
    )


def table_load(table: Measurements, seed: int) -> ExpertLoad:
    """The load of each row on the device that was timed: dealt evenly, or the busiest rank's."""
    skew = skew_of(table)
    names = ("num_tokens", "topk", "num_experts", "ep")
    keys = np.stack([*(table[name].astype(float) for name in names), skew])
    distinct, code = np.unique(keys, axis=1, return_inverse=True)
    loads = [_load(key, seed) for key in distinct.T.tolist()]
    code = code.ravel()
    return ExpertLoad(
        rows=np.concatenate([load.rows for load in loads])[code],
        touched=np.concatenate([load.touched for load in loads])[code],
        tiles=np.concatenate([load.tiles for load in loads])[code],
    )


def _load(key: Sequence[float], seed: int) -> ExpertLoad:
    tokens, top_k, experts, ep, power = key
    if power:
        drawn = power_law_loads(int(tokens), int(top_k), int(experts), power, ep=int(ep), seed=seed)
        return load_of(busiest_rank(drawn, int(ep)))
    rows = max(1.0, float(np.ceil(tokens * top_k / ep)))
    return even_load(np.array([rows]), np.array([experts / ep]))
