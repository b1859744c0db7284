"""Comparison: predicted and measured side by side, with signed errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import Evidence, unknown
from ...hardware import AnyDevice
from ...hardware.load import device as load_device
from ...measured import Measurements, load
from ...measured.cpu_layer import measure
from .errors import TOKEN_BANDS, ErrorRow, errors
from .predict import MODELS, Model

KINDS = ("moe", "gemm", "cpu")
"""What can be compared: recorded MoE layers, recorded GEMMs, and MoE layers timed on this CPU."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions beside measurements, row by row.

    predicted_s: `[rows]`, by `model`; table: the measured rows. predicted_evidence and
    measured_evidence say what the two sides are.
    """

    what: str
    system: str
    model: str
    table: Measurements
    predicted_s: NDArray[np.float64]
    predicted_evidence: Evidence
    measured_evidence: Evidence

    @property
    def measured_s(self) -> NDArray[np.float64]:
        return self.table["latency_s"]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of each row (rows of the left matrix, for a GEMM)."""
        return self.table["m" if self.table.kind == "gemm" else "num_tokens"]

    def by_band(self) -> list[ErrorRow]:
        """Errors over all rows, then by token band."""
        rows = [errors("all", self.predicted_s, self.measured_s)]
        for name, low, high in TOKEN_BANDS:
            inside = (self.tokens > low) & (self.tokens <= high)
            rows.append(errors(name, self.predicted_s[inside], self.measured_s[inside]))
        return rows

    def by(self, column: str) -> list[ErrorRow]:
        """Errors by the values of a column, such as 'dtype' or 'backend'."""
        values = self.table[column]
        return [
            errors(f"{column} {value}", self.predicted_s[mask], self.measured_s[mask])
            for value in np.unique(values.astype(str)).tolist()
            for mask in [values.astype(str) == value]
        ]


def compare(
    what: str,
    on: str = "",
    model: str | Model = "roofline",
    *,
    folder: str | Path | None = None,
    seed: int = 0,
) -> Comparison:
    """Holds a model against a measured table.

    what: one of KINDS; 'cpu' times MoE layers here and now, `on` is then this machine. folder:
    imported tables instead of the ones that ship. Raises BadInput for unknown names.
    """
    if what not in KINDS:
        raise unknown("comparison", what, KINDS, key="--what")
    table = measure() if what == "cpu" else load(what, on or None, folder)
    device = load_device("local" if what == "cpu" else table.system)
    predict, name = _model(model)
    return Comparison(
        what=what,
        system=device.name,
        model=name,
        table=table,
        predicted_s=_predicted(predict, table, device, seed),
        predicted_evidence="bound" if name.startswith("roofline") else "simulated",
        measured_evidence=table.evidence,
    )


def _model(model: str | Model) -> tuple[Model, str]:
    if callable(model):
        return model, getattr(model, "__name__", "custom")
    if model not in MODELS:
        raise unknown("model", model, MODELS, key="--model")
    return MODELS[model], model


def _predicted(
    predict: Callable[[Measurements, AnyDevice, int], NDArray[np.float64]],
    table: Measurements,
    device: AnyDevice,
    seed: int,
) -> NDArray[np.float64]:
    return np.asarray(predict(table, device, seed), np.float64)
