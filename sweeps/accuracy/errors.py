"""Signed errors of predictions by band: how far off, in which direction, in what order."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOKEN_BANDS = (("T <= 64", 0, 64), ("64 < T <= 1024", 64, 1024), ("T > 1024", 1024, np.inf))
"""Regimes of a MoE layer or a GEMM by tokens: read weights, mixed, compute."""


class ErrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of one band. All are of predicted against measured seconds.

    signed: median of predicted / measured - 1 (negative: predicted too fast). mape: mean of the
    absolute value of it; median_ape: its median, which glitches in the tables do not move.
    spearman: rank correlation, nan for fewer than three rows.
    """

    band: str
    rows: int
    signed: float
    mape: float
    median_ape: float
    spearman: float


def errors(band: str, predicted: Floats, measured: Floats) -> ErrorRow:
    """The errors of one band; predicted and measured: `[rows]`."""
    if not predicted.size:
        nan = float("nan")
        return ErrorRow(band=band, rows=0, signed=nan, mape=nan, median_ape=nan, spearman=nan)
    relative = predicted / measured - 1
    return ErrorRow(
        band=band,
        rows=int(predicted.size),
        signed=float(np.median(relative)),
        mape=float(np.abs(relative).mean()),
        median_ape=float(np.median(np.abs(relative))),
        spearman=_spearman(predicted, measured),
    )


def _spearman(a: Floats, b: Floats) -> float:
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
