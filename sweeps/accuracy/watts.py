"""Board watts of recorded MoE layers against those that the power model predicts."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu.fitted import format_of
from ...simulator.gpu.power import CARRY_S, POWER, expert_watts, metered
from .errors import TOKEN_BANDS, ErrorRow, errors
from .families import families
from .folds import refits
from .prediction import Prediction, Tell
from .rows import Rows

Floats = NDArray[np.float64]

SERIES = (
    *("backend", "version", "kernel_source", "dtype", "hidden", "inter", "topk"),
    *("num_experts", "gated", "tp", "ep", "distribution"),
)
"""Rows that share these were timed one after another, from few tokens to many."""


def predicted_watts(table: Measurements, device: AnyDevice, seed: int, tell: Tell) -> Floats:
    """What the meter shows for every row of a power table: `[rows]`.

    Times are those of constants refitted without the row's shape; the power constants are those
    that ship for the device. Raises BadInput for other tables, and devices and formats without
    power constants.
    """
    if table.kind != "power":
        raise BadInput("has no watts", key="table", value=table.kind)
    if device.name not in POWER:
        raise unknown("GPU with power constants", device.name, POWER)
    limit_w = np.unique(table["power_limit_w"])
    if limit_w.size > 1:
        raise BadInput("must be one number in the whole table", key="power_limit_w")
    layers = msgspec.structs.replace(table, kind="moe")
    watts, seconds = np.zeros(len(table)), np.zeros(len(table))
    for rows in families(layers, device, seed):
        where = rows.where
        watts[where], seconds[where] = _drawn(rows, device.name, float(limit_w[0]), seed)
        tell(f"{rows.family}: {len(rows)} rows")
    return _shown(table, watts, seconds)


def _drawn(rows: Rows, gpu: str, limit_w: float, seed: int) -> tuple[Floats, Floats]:
    """Watts and seconds of a family's rows, by constants that did not see their shapes."""
    watts, seconds = np.zeros(len(rows)), np.zeros(len(rows))
    dtype = format_of(rows.family)
    for one in refits(rows, seed):
        left_out = rows.take(one.left_out)
        terms = left_out.terms(one.constants)
        seconds[one.left_out] = np.asarray(sum(terms.values()))
        watts[one.left_out] = expert_watts(
            left_out.asked, left_out.machine, terms, POWER[gpu], dtype, limit_w
        )
    return watts, seconds


def _shown(table: Measurements, watts: Floats, seconds: Floats) -> Floats:
    """The meter's watts: each test carries some of the one before it in its series."""
    keys = np.stack([table[name].astype(str) for name in SERIES if name in table.columns])
    code = np.unique(keys, axis=1, return_inverse=True)[1].ravel()
    order = np.lexsort((table["num_tokens"], code))
    shown = np.empty(len(table))
    for series in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        shown[series] = metered(watts[series][None], seconds[series][None], CARRY_S)[0]
    return shown


def watt_errors(table: Measurements, watts: Floats) -> list[ErrorRow]:
    """Errors of predicted watts over all rows, by token band and by number format."""
    tokens, dtype = table["num_tokens"], table["dtype"].astype(str)
    groups = {"all": np.ones(len(table), bool)}
    groups |= {name: (tokens > low) & (tokens <= high) for name, low, high in TOKEN_BANDS}
    groups |= {f"dtype {name}": dtype == name for name in np.unique(dtype).tolist()}
    predicted = Prediction(seconds=watts)
    measured = table["power_w"].astype(float)
    return [errors(name, predicted, measured, mask) for name, mask in groups.items() if mask.any()]
