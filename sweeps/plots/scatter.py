"""Predicted against measured, with the bands inside which a prediction is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..accuracy import Comparison
from ..accuracy.errors import TOKEN_BANDS
from .style import FAINT, INK, PALETTE, diagonal, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DOTS = 6000


def predicted_against_measured(comparison: Comparison, title: str, seed: int = 0) -> Figure:
    """A log-log scatter coloured by token band beside the median signed error by tokens.

    At most MOST_DOTS rows are drawn, picked at random by `seed`; the errors count all rows.
    """
    measured, predicted = comparison.measured_s * 1e6, comparison.predicted_s * 1e6
    tokens = comparison.tokens
    shown = np.arange(measured.size)
    if measured.size > MOST_DOTS:
        shown = np.random.default_rng(seed).choice(measured.size, MOST_DOTS, replace=False)
    with figure(9.6, 4.4, ncols=2, width_ratios=(3, 2)) as (made, (left, right)):
        low = min(measured.min(), predicted.min()) / 1.5
        high = max(measured.max(), predicted.max()) * 1.5
        diagonal(left, low, high, 0.2)
        for i, (name, least, most) in enumerate(TOKEN_BANDS):
            kept = shown[(tokens[shown] > least) & (tokens[shown] <= most)]
            if not kept.size:
                continue
            left.scatter(
                measured[kept],
                predicted[kept],
                s=5 if measured.size > 200 else 22,
                alpha=0.35 if measured.size > 200 else 0.8,
                lw=0,
                color=PALETTE[i],
                label=name,
                rasterized=measured.size > 200,
            )
        left.set(
            xlabel=f"measured, us ({comparison.measured_evidence})",
            ylabel=f"predicted, us ({comparison.predicted_evidence})",
            title=title,
        )
        left.legend(loc="upper left", markerscale=2)
        _error_by_tokens(right, tokens, predicted / measured - 1)
    return made


def _error_by_tokens(axes: Axes, tokens: NDArray[np.int64], error: NDArray[np.float64]) -> None:
    """Median and quartiles of the signed error at each token count, or power of two of many."""
    distinct = np.unique(tokens)
    edges = distinct if distinct.size <= 16 else np.unique(2 ** np.round(np.log2(distinct)))
    nearest = np.abs(np.log(tokens[:, None]) - np.log(edges[None, :])).argmin(axis=1)
    quartiles = np.array(
        [np.percentile(error[nearest == i], (25, 50, 75)) for i in range(edges.size)]
    )
    axes.axhline(0, color=INK, lw=1)
    axes.fill_between(edges, quartiles[:, 0], quartiles[:, 2], alpha=0.25, lw=0, label="quartiles")
    axes.plot(edges, quartiles[:, 1], marker="o", ms=3, label="median")
    axes.set(xscale="log", xlabel="tokens", ylabel="predicted / measured - 1", title="Signed error")
    axes.axhspan(-0.2, 0.2, color=FAINT, alpha=0.15, lw=0)
    axes.legend()
