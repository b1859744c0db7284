"""Energy x delay x area of units against operations per byte: paper and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .style import FAINT, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def edap_by_ops(
    names: tuple[str, ...],
    ops: tuple[int, ...],
    published: NDArray[np.float64],
    ours: NDArray[np.float64],
    fitted: tuple[int, ...],
) -> Figure:
    """Both `[names, ops]`: the paper's as hollow marks, ours as lines; the columns `fitted` are
    shaded."""
    from matplotlib.lines import Line2D

    with figure(6.4, 3.9) as (made, axes):
        for i, name in enumerate(names):
            colour = PALETTE[i]
            axes.plot(ops, ours[i], color=colour, marker="o", ms=4, lw=1.8, label=name)
            axes.scatter(
                ops, published[i], s=62, facecolor="none", edgecolor=colour, lw=1.4, zorder=3
            )
        for column in fitted:
            axes.axvspan(ops[column] / 1.15, ops[column] * 1.15, color=FAINT, alpha=0.18, lw=0)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="operations on each byte of weights",
            ylabel="energy x delay x area, largest = 1",
            title="Units on the bank, the bank group and the logic die",
        )
        axes.set_xticks(ops, [str(number) for number in ops])
        axes.set_yticks((0.1, 0.2, 0.5, 1.0), ("0.1", "0.2", "0.5", "1"))
        axes.minorticks_off()
        marks = [
            *axes.get_legend_handles_labels()[0],
            Line2D([], [], ls="", marker="o", ms=8, mfc="none", color="k", label="paper"),
            Line2D(
                [],
                [],
                lw=8,
                solid_capstyle="butt",
                color=FAINT,
                alpha=0.3,
                label="areas fitted here",
            ),
        ]
        axes.legend(handles=marks, loc="lower right")
    return made
