"""Signed errors of predictions by band: how far off, in which direction, in what order."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from .prediction import Prediction

Floats = NDArray[np.float64]

TOKEN_BANDS = (("T <= 64", 0, 64), ("64 < T <= 1024", 64, 1024), ("T > 1024", 1024, np.inf))
"""Regimes of a MoE layer or a GEMM by tokens: read weights, mixed, compute."""


class ErrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of one band. All are of predicted against measured seconds.

    signed: median of predicted / measured - 1 (negative: predicted too fast). mape: mean of the
    absolute value of it; median_ape: its median, which glitches in the tables do not move.
    spearman: rank correlation, nan for fewer than three rows. coverage: share of the measurements
    inside the prediction's 80% interval, nan where it gave none.
    """

    band: str
    rows: int
    signed: float
    mape: float
    median_ape: float
    spearman: float
    coverage: float


def errors(
    band: str,
    prediction: Prediction,
    measured: Floats,
    mask: NDArray[np.bool_] | None = None,
) -> ErrorRow:
    """The errors of the rows of one band, of all without a mask; measured: `[rows]`."""
    kept = np.ones(measured.size, bool) if mask is None else mask
    nan = float("nan")
    if not kept.any():
        return ErrorRow(
            band=band, rows=0, signed=nan, mape=nan, median_ape=nan, spearman=nan, coverage=nan
        )
    predicted, measured = prediction.seconds[kept], measured[kept]
    relative = predicted / measured - 1
    coverage = nan
    if prediction.low_s is not None and prediction.high_s is not None:
        low, high = prediction.low_s[kept], prediction.high_s[kept]
        coverage = float(((low <= measured) & (measured <= high)).mean())
    return ErrorRow(
        band=band,
        rows=int(predicted.size),
        signed=float(np.median(relative)),
        mape=float(np.abs(relative).mean()),
        median_ape=float(np.median(np.abs(relative))),
        spearman=_spearman(predicted, measured),
        coverage=coverage,
    )


def _spearman(a: Floats, b: Floats) -> float:
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
