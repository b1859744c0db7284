"""Comparison: predicted and measured side by side, with signed errors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence, unknown
from ...hardware.load import device as load_device
from ...measured import Measurements, load, systems
from ...measured.cpu_layer import measure
from .errors import TOKEN_BANDS, ErrorRow, errors
from .predict import BOUNDS, CROSS_VALIDATED, MODELS, Plain, plain
from .prediction import Model, Prediction, Tell
from .tile import tile_with

KINDS = ("moe", "gemm", "cpu")
"""What can be compared: recorded MoE layers, recorded GEMMs, and MoE layers timed on this CPU."""

MOST_VALUES = 200
"""A column with more values than this is no way to group rows."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions beside measurements, row by row.

    prediction: by `model`; table: the measured rows. predicted_evidence and measured_evidence say
    what the two sides are.
    """

    what: str
    system: str
    model: str
    table: Measurements
    prediction: Prediction
    predicted_evidence: Evidence
    measured_evidence: Evidence

    @property
    def predicted_s(self) -> NDArray[np.float64]:
        return self.prediction.seconds

    @property
    def measured_s(self) -> NDArray[np.float64]:
        return self.table["latency_s"]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of each row (rows of the left matrix, for a GEMM)."""
        return self.table["m" if self.table.kind == "gemm" else "num_tokens"]

    def by_band(self) -> list[ErrorRow]:
        """Errors over all rows, then by token band, then by what the model says that it knows;
        groups without rows are left out."""
        bands = {
            name: (self.tokens > low) & (self.tokens <= high) for name, low, high in TOKEN_BANDS
        }
        groups = {"all": np.ones(len(self.table), bool), **bands, **self.prediction.parts}
        return [self.within(name, mask) for name, mask in groups.items() if mask.any()]

    def within(self, name: str, mask: NDArray[np.bool_]) -> ErrorRow:
        """The errors of some of the rows."""
        return errors(name, self.prediction, self.measured_s, mask)

    def by(self, column: str) -> list[ErrorRow]:
        """Errors by the values of a column, such as 'dtype' or 'backend'."""
        values, code = np.unique(self.table[column].astype(str), return_inverse=True)
        if values.size > MOST_VALUES:
            raise BadInput(
                f"takes {values.size} values; errors are shown by at most {MOST_VALUES}", key=column
            )
        return [
            self.within(f"{column} {value}", code == i) for i, value in enumerate(values.tolist())
        ]

    @property
    def faster(self) -> int:
        """Rows that were measured faster than predicted."""
        return int((self.measured_s < self.predicted_s).sum())


def compare(
    what: str,
    on: str = "",
    model: str | Plain = "roofline",
    *,
    folder: str | Path | None = None,
    cv: str = "",
    constants: str | Path | None = None,
    seed: int = 0,
    tell: Tell = lambda line: None,
) -> Comparison:
    """Holds a model against a measured table.

    what: one of KINDS; 'cpu' times MoE layers here and now, `on` is then this machine. folder:
    imported tables instead of the ones that ship. cv: what the model is refitted without before it
    predicts a row ('shape' or 'gpu'), or nothing. constants: a file of `moesaic calibrate` for the
    tile model, instead of those that ship. tell: called with a line after each fitted family.
    Raises BadInput for unknown names.
    """
    if what not in KINDS:
        raise unknown("comparison", what, KINDS, key="--what")
    if seed < 0:
        raise BadInput("must not be negative", key="--seed", value=seed)
    predict, name = _model(model, cv, constants)
    table = _table(what, on, folder)
    device = load_device(table.system)
    return Comparison(
        what=what,
        system=device.name,
        model=name,
        table=table,
        prediction=predict(table, device, seed, tell),
        predicted_evidence="bound" if name in BOUNDS else "simulated",
        measured_evidence=table.evidence,
    )


def _table(what: str, on: str, folder: str | Path | None) -> Measurements:
    if what == "cpu":
        if on not in ("", "local"):
            raise BadInput("times this machine: leave --on away", key="--what cpu", value=on)
        return measure()
    known = systems(what, folder)
    if not on and len(known) > 1:
        raise BadInput(f"name the device that was timed, one of {', '.join(known)}", key="--on")
    return load(what, on or None, folder)


def _model(model: str | Plain, cv: str, constants: str | Path | None) -> tuple[Model, str]:
    name = model if isinstance(model, str) else getattr(model, "__name__", "custom")
    if cv:
        if constants is not None:
            raise BadInput("refits the constants: leave --constants away", key="--cv", value=cv)
        if (name, cv) not in CROSS_VALIDATED:
            known = ", ".join(f"{one} by {left_out}" for one, left_out in CROSS_VALIDATED)
            raise BadInput(f"refits {known}", key="--cv", value=f"{name} by {cv}")
        return CROSS_VALIDATED[name, cv], f"{name}, unseen {cv}s"
    if constants is not None:
        if name != "tile":
            raise BadInput("goes with the tile model, without --cv", key="--constants")
        return tile_with(constants), "tile, own constants"
    if not isinstance(model, str):
        return plain(model), name
    if model not in MODELS:
        raise unknown("model", model, MODELS, key="--model")
    return MODELS[model], model
