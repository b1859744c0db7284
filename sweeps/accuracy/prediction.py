"""Prediction: seconds of measured rows, how sure they are, and which rows they know least about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...hardware import AnyDevice
from ...measured import Measurements

Floats = NDArray[np.float64]
Tell = Callable[[str], None]
"""Told a line after each step of long work."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Predicted seconds of every row of a table: `[rows]`.

    low_s, high_s: ends of the 80% interval, where a model has one. parts: names of groups of rows
    and their masks, where a model knows some better than others.
    """

    seconds: Floats
    low_s: Floats | None = None
    high_s: Floats | None = None
    parts: dict[str, NDArray[np.bool_]] = {}


Model = Callable[[Measurements, AnyDevice, int, Tell], Prediction]
"""(table, device, seed, tell) -> Prediction."""

INTERVAL = (0.1, 0.9)
"""An 80% interval: a tenth of the rows below it, a tenth above."""


def spread(predicted: Floats, measured: Floats) -> tuple[float, float]:
    """The factors of a prediction between which 80% of the measurements lie.

    predicted: of rows that the model did not see, so that the interval holds for the next ones.
    """
    low, high = np.quantile(np.log(measured / predicted), INTERVAL)
    return float(np.exp(low)), float(np.exp(high))


def scattered(rows: int, parts: Sequence[tuple[NDArray[np.int64], Prediction]]) -> Prediction:
    """One Prediction of a whole table from those of its families; each with its rows' places."""
    whole = {name: np.full(rows, np.nan) for name in ("seconds", "low_s", "high_s")}
    masks: dict[str, NDArray[np.bool_]] = {}
    for where, part in parts:
        for name, values in whole.items():
            given = getattr(part, name)
            if given is not None:
                values[where] = given
        for name, mask in part.parts.items():
            masks.setdefault(name, np.zeros(rows, bool))[where] = mask
    if np.isnan(whole["low_s"]).any():
        return Prediction(seconds=whole["seconds"], parts=masks)
    return Prediction(**whole, parts=masks)


def within(seconds: Floats, factors: tuple[float, float]) -> Prediction:
    """Seconds with the interval that lies between two factors of them."""
    return Prediction(seconds=seconds, low_s=seconds * factors[0], high_s=seconds * factors[1])


def score(name: str, prediction: Prediction, measured_s: Floats) -> str:
    """A line on how far off the rows were."""
    error = np.abs(prediction.seconds / measured_s - 1)
    return f"{name}: {error.size} rows, MAPE {error.mean():.1%}, median {np.median(error):.1%}"
