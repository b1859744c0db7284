"""Measured MoE rows -> what the tile model is asked, kernel family by kernel family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, number_format
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import (
    Constants,
    ExpertLayer,
    ExpertLoad,
    Machine,
    even_load,
    every_slot,
    layer_terms,
    load_of,
)
from ...workload.power_law import busiest_rank, power_law_loads
from .cases import by_name

Floats = NDArray[np.float64]
T = TypeVar("T", bound=msgspec.Struct)

SHAPE = ("hidden", "inter", "num_experts", "topk")
"""What makes two rows the same shape, however it is split and loaded."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one kernel family: `[rows]` arrays.

    where: their places in the table. shape: a number for each distinct SHAPE. measured_s: times.
    """

    family: str
    where: NDArray[np.int64]
    shape: NDArray[np.int64]
    measured_s: Floats
    layer: ExpertLayer
    assigned: ExpertLoad
    every_slot: ExpertLoad
    machine: Machine

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """Some of the rows, by mask or place."""
        return msgspec.structs.replace(
            self,
            where=self.where[kept],
            shape=self.shape[kept],
            measured_s=self.measured_s[kept],
            layer=_taken(self.layer, kept),
            assigned=_taken(self.assigned, kept),
            every_slot=_taken(self.every_slot, kept),
        )

    def seconds(self, constants: Constants) -> Floats:
        """The tile model's time of each row."""
        load = self.assigned if constants.packing == "assigned" else self.every_slot
        terms = layer_terms(self.layer, load, self.machine, constants)
        return np.asarray(sum(terms.values()))


def _taken(part: T, kept: NDArray[np.bool_] | NDArray[np.int64]) -> T:
    arrays = {
        name: value[kept]
        for name in part.__struct_fields__
        if isinstance(value := getattr(part, name), np.ndarray)
    }
    return msgspec.structs.replace(part, **arrays)


def family_names(table: Measurements) -> NDArray[np.str_]:
    """'backend/kernel_source/dtype' of each row."""
    for name in ("backend", "kernel_source"):
        if name not in table.columns:
            raise BadInput("is needed to tell kernel families apart", key=name)
    parts = [table[name].astype(str) for name in ("backend", "kernel_source", "dtype")]
    joined = np.char.add(
        np.char.add(parts[0], "/"), np.char.add(np.char.add(parts[1], "/"), parts[2])
    )
    return np.asarray(joined)


def families(table: Measurements, device: AnyDevice, seed: int = 0) -> Iterator[Rows]:
    """The families of a MoE table in order of their names; skewed loads are drawn by `seed`."""
    if table.kind != "moe":
        raise BadInput(f"predicts moe tables, this one holds {table.kind}", key="tile model")
    load, names = table_load(table, seed), family_names(table)
    columns = np.stack([table[name].astype(np.int64) for name in SHAPE])
    shape = np.unique(columns, axis=1, return_inverse=True)[1].ravel()
    for family in np.unique(names).tolist():
        where = np.flatnonzero(names == family)
        dtype = str(table["dtype"][where[0]])
        layer, assigned = _layer(table, where, dtype), _taken(load, where)
        yield Rows(
            family=family,
            where=where,
            shape=shape[where],
            measured_s=table["latency_s"][where].astype(float),
            layer=layer,
            assigned=assigned,
            every_slot=every_slot(
                layer.tokens,
                assigned.rows,
                layer.group_rows / layer.tokens,
                layer.local_experts,
            ),
            machine=Machine.of(device, dtype),
        )


def _layer(table: Measurements, where: NDArray[np.int64], dtype: str) -> ExpertLayer:
    def column(name: str) -> Floats:
        return np.asarray(table[name][where], np.float64)

    form = number_format(dtype)
    return ExpertLayer(
        tokens=column("num_tokens"),
        group_rows=column("num_tokens") * column("topk"),
        local_experts=column("num_experts") / column("ep"),
        hidden=column("hidden"),
        inter=column("inter") / column("tp"),
        matrices_in=np.where(column("gated") > 0, 2.0, 1.0),
        weight_size=form.bytes_per_element,
        # Weight-only formats multiply 16-bit rows; the others quantise them to their own width.
        activation_size=2.0 if form.compute == "bf16" else form.bytes_per_element,
    )


def table_load(table: Measurements, seed: int) -> ExpertLoad:
    """The load of each row on the device that was timed: dealt evenly, or the busiest rank's."""
    skew = by_name(table["distribution"], lambda n: float(n[2:]) if n.startswith("pl") else 0.0)
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
