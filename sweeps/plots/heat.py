"""Heat maps of the signed error: where a model is too fast, where too slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..accuracy import Comparison
from .style import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 40
"""Families shown, those with most rows."""
KINDS = ("backend", "kernel_source", "dtype", "phase")
"""Columns that name a line, where a table has them."""
WORST = 0.5
"""The error at which a colour is full."""


def signed_errors(comparison: Comparison, title: str) -> Figure:
    """Median signed error by kernel family and by tokens, in powers of two; grey: not measured."""
    lines, names = _lines(comparison)
    bins = np.round(np.log2(np.maximum(comparison.tokens, 1))).astype(np.int64)
    bins -= bins.min()
    error = comparison.predicted_s / comparison.measured_s - 1
    cells = np.full((len(names), int(bins.max()) + 1), np.nan)
    for line in range(len(names)):
        for column in np.unique(bins[lines == line]).tolist():
            cells[line, column] = np.median(error[(lines == line) & (bins == column)])
    first = int(np.round(np.log2(max(int(comparison.tokens.min()), 1))))
    with figure(9.6, 1.6 + 0.24 * len(names)) as (made, axes):
        shown = axes.imshow(cells, cmap="RdBu_r", vmin=-WORST, vmax=WORST, aspect="auto")
        axes.set_facecolor("#d0d0d0")
        axes.grid(visible=False)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        ticks = range(0, cells.shape[1], 2)
        axes.set_xticks(ticks, [str(2 ** (first + tick)) for tick in ticks])
        axes.set(xlabel="tokens", title=title)
        bar = made.colorbar(shown, ax=axes, pad=0.01)
        bar.set_label("predicted / measured - 1 (median)")
    return made


def _lines(comparison: Comparison) -> tuple[NDArray[np.int64], list[str]]:
    """The line of each row, -1 where it has none, and the names of the lines."""
    table = comparison.table
    kinds = [
        name for name in ("backend", "kernel_source", "dtype", "phase") if name in table.columns
    ]
    codes = [np.unique(table[name].astype(str), return_inverse=True) for name in kinds]
    joined = np.stack([code for _, code in codes])
    distinct, code, count = np.unique(joined, axis=1, return_inverse=True, return_counts=True)
    names = np.array(
        [
            "/".join(_short(str(codes[kind][0][at])) for kind, at in enumerate(line))
            for line in distinct.T.tolist()
        ]
    )
    kept = np.sort(np.argsort(-count)[:MOST_LINES])
    place = np.full(names.size, -1)
    place[kept] = np.arange(kept.size)
    return place[code.ravel()], [str(name) for name in names[kept]]


def _short(name: str, most: int = 34) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}..{name[-most // 2 + 1 :]}"
