"""Comparison: predicted and measured side by side, with signed errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence, unknown
from ...hardware import AnyDevice
from ...hardware.load import device as load_device
from ...measured import Measurements, load, systems
from ...measured.cpu_layer import measure
from .errors import TOKEN_BANDS, ErrorRow, errors
from .predict import BOUNDS, MODELS, Plain, plain
from .prediction import Prediction, Tell
from .tile import tile_with
from .unseen import UNSEEN, by_unseen_shapes
from .unseen_gpus import tile_unseen_gpus

KINDS = ("moe", "gemm", "attention", "cpu")
"""What can be compared: recorded MoE layers, GEMMs, attention, and MoE layers timed on this CPU."""

CROSS_VALIDATED: dict[str, tuple[str, ...]] = {
    "": tuple(MODELS),
    "shape": ("boosted", *UNSEEN),
    "gpu": ("tile",),
}
"""What is left out -> the models that can be learnt again without it; '' leaves nothing out."""

ALIKE = (
    "backend",
    "version",
    "kernel_source",
    "dtype",
    "hidden",
    "inter",
    "topk",
    "num_experts",
    "gated",
    "tp",
    "ep",
    "num_tokens",
)
"""Columns that a skewed row and its balanced one share."""
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
        """Tokens of each row: rows of the left matrix, for a GEMM; new ones, for attention."""
        if self.table.kind == "attention":
            return self.table["batch_size"] * self.table["query_tokens"]
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

    def by_slowdown(self) -> list[ErrorRow]:
        """Errors of how much longer a skewed load takes than a balanced one, all else being equal:
        predicted against measured ratio, for each power law of a MoE table."""
        if "distribution" not in self.table.columns:
            return []
        skew = self.table["distribution"].astype(str)
        alike = [self.table[name].astype(str) for name in self.table.columns if name in ALIKE]
        key = np.unique(np.stack(alike), axis=1, return_inverse=True)[1].ravel()
        balanced = np.flatnonzero(skew == "balanced")
        at = np.full(int(key.max()) + 1, -1)
        at[key[balanced]] = balanced
        rows = []
        for name in sorted(set(skew.tolist()) - {"balanced"}):
            skewed = np.flatnonzero((skew == name) & (at[key] >= 0))
            if skewed.size:
                base = at[key[skewed]]
                predicted = self.predicted_s[skewed] / self.predicted_s[base]
                measured = self.measured_s[skewed] / self.measured_s[base]
                rows.append(
                    errors(f"{name} over balanced", Prediction(seconds=predicted), measured)
                )
        return rows

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
    trees: str | Path | None = None,
    seed: int = 0,
    tell: Tell = lambda line: None,
) -> Comparison:
    """Holds a model against a measured table.

    what: one of KINDS; 'cpu' times MoE layers here and now, `on` is then this machine. folder:
    imported tables instead of the ones that ship. cv: what the model is refitted without before it
    predicts a row ('shape' or 'gpu'), or nothing. constants: a file of `moesaic calibrate` for the
    tile model, instead of those that ship; trees: a file of its correction. tell: called with a
    line after each fitted family. Raises BadInput for unknown names.
    """
    made = compare_models(
        what,
        on,
        [model],
        folder=folder,
        cv=cv,
        constants=constants,
        trees=trees,
        seed=seed,
        tell=tell,
    )
    return next(made)


def compare_models(
    what: str,
    on: str,
    models: Sequence[str | Plain],
    *,
    folder: str | Path | None = None,
    cv: str = "",
    constants: str | Path | None = None,
    trees: str | Path | None = None,
    seed: int = 0,
    tell: Tell = lambda line: None,
) -> Iterator[Comparison]:
    """`compare` for several models; what they share, such as refitted constants, is made once."""
    if what not in KINDS:
        raise unknown("comparison", what, KINDS, key="--what")
    if seed < 0:
        raise BadInput("must not be negative", key="--seed", value=seed)
    _check(models, cv, constants, trees)
    table = _table(what, on, folder)
    device = load_device(table.system)
    for name, prediction in _predicted(models, cv, constants, trees, table, device, seed, tell):
        yield Comparison(
            what=what,
            system=device.name,
            model=name,
            table=table,
            prediction=prediction,
            predicted_evidence="bound" if name in BOUNDS else "simulated",
            measured_evidence=table.evidence,
        )


def devices(what: str, on: str, folder: str | Path | None = None) -> list[str]:
    """The devices that 'all' stands for, or those named by commas."""
    if what in KINDS and what != "cpu" and on == "all":
        return systems(what, folder)
    return ["" if on == "all" else on] if what == "cpu" else on.split(",")


def _check(
    models: Sequence[str | Plain],
    cv: str,
    constants: str | Path | None,
    trees: str | Path | None,
) -> None:
    """Raises BadInput for models that do not exist, or not with this cv or these files."""
    if cv not in CROSS_VALIDATED:
        raise unknown("way to leave rows out", cv, [name for name in CROSS_VALIDATED if name])
    known = CROSS_VALIDATED[cv]
    for model in models:
        if isinstance(model, str) and model not in known:
            raise unknown("model", model, known, key="--model")
        if cv and not isinstance(model, str):
            raise BadInput("refits models of its own only", key="--cv", value=cv)
    if trees is not None and constants is None:
        raise BadInput("corrects constants: name their file with --constants", key="--trees")
    if constants is not None and (cv or list(models) != ["tile"]):
        raise BadInput("goes with --model tile, and without --cv", key="--constants")


def _predicted(
    models: Sequence[str | Plain],
    cv: str,
    constants: str | Path | None,
    trees: str | Path | None,
    table: Measurements,
    device: AnyDevice,
    seed: int,
    tell: Tell,
) -> Iterator[tuple[str, Prediction]]:
    """Names and predictions of checked models."""
    if cv == "shape":
        names = [str(model) for model in models]
        for name, prediction in by_unseen_shapes(table, device, seed, tell, names).items():
            yield f"{name}, unseen shapes", prediction
        return
    for model in models:
        if cv == "gpu":
            yield "tile, unseen GPU", tile_unseen_gpus(table, device, seed, tell)
        elif constants is not None:
            name = "tile, own constants" if trees is None else "tile+trees, own constants"
            yield name, tile_with(constants, trees)(table, device, seed, tell)
        elif isinstance(model, str):
            yield model, MODELS[model](table, device, seed, tell)
        else:
            name = getattr(model, "__name__", "custom")
            yield name, plain(model)(table, device, seed, tell)


def _table(what: str, on: str, folder: str | Path | None) -> Measurements:
    if what == "cpu":
        if on not in ("", "local"):
            raise BadInput("times this machine: leave --on away", key="--what cpu", value=on)
        return measure()
    known = systems(what, folder)
    if not on and len(known) > 1:
        raise BadInput(f"name the device that was timed, one of {', '.join(known)}", key="--on")
    return load(what, on or None, folder)
