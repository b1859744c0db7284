"""Published numbers beside ours, a line a claim, and savings over a grid of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = tuple[str, str, float, float | None, float]


def beside(rows: Sequence[Row], title: str) -> Figure:
    """Rows of (metric, unit, published, ours, no effect): a panel for each unit."""
    units = list(dict.fromkeys(row[1] for row in rows))
    parts = [[row for row in rows if row[1] == unit] for unit in units]
    heights = [0.9 + 0.27 * len(part) for part in parts]
    with figure(8.6, 0.5 + sum(heights), nrows=len(parts), height_ratios=heights) as (made, panels):
        for axes, unit, part in zip(np.atleast_1d(panels), units, parts, strict=True):
            _panel(axes, unit, part)
        np.atleast_1d(panels)[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        made.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return made


def _panel(axes: Axes, unit: str, rows: Sequence[Row]) -> None:
    scale = 100.0 if unit == "%" else 1.0
    for y, (_, _, published, ours, _) in enumerate(rows):
        if ours is not None:
            axes.plot([published * scale, ours * scale], [y, y], color=FAINT, lw=1.5)
    places = [(y, row[3] * scale) for y, row in enumerate(rows) if row[3] is not None]
    open_mark: Any = {"s": 34, "facecolors": "white", "edgecolors": INK, "zorder": 3}
    axes.scatter([row[2] * scale for row in rows], range(len(rows)), label="published", **open_mark)
    if places:
        ys, xs = zip(*places, strict=True)
        axes.scatter(xs, ys, color=PALETTE[1], marker="^", s=30, zorder=4, label="ours, simulated")
    neutral = {row[4] * scale for row in rows}
    for at in neutral if len(neutral) == 1 else ():
        axes.axvline(at, color=INK, lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=8)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="times" if unit == "x" else unit)
    axes.grid(visible=False, axis="y")


def savings(
    panels: Sequence[tuple[str, Mapping[str, Sequence[tuple[float, float]]], float, str]],
    across: str,
    title: str,
) -> Figure:
    """Panels of (what, line -> points, the paper's best, its words) against `across`."""
    with figure(4.4 * len(panels), 3.6, ncols=len(panels)) as (made, drawn):
        for axes, (what, lines, best, words) in zip(np.atleast_1d(drawn), panels, strict=True):
            for i, (label, points) in enumerate(lines.items()):
                x, y = zip(*points, strict=True)
                axes.plot(x, y, marker="o", ms=4, label=label, color=PALETTE[i % len(PALETTE)])
            axes.axhline(best, color=INK, lw=1, ls="--", label=words)
            ticks = sorted({x for points in lines.values() for x, _ in points})
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
            axes.set(xlabel=across, ylabel=what)
        np.atleast_1d(drawn)[0].legend(fontsize=7)
        made.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return made
