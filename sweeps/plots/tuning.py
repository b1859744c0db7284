"""Searches of a kernel's configurations: how near the optimum, after how many evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...kernels.search.replay import Replay
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUDGETS = (10, 25, 50)
"""Where scores are read off."""


def fraction_of_optimum(replays: Sequence[Replay], titles: dict[str, str]) -> Figure:
    """A panel for each space, titled by its name: for each strategy the mean over seeds of the
    fraction of the optimum, and the band between its quartiles. The strategies keep their colours.
    """
    spaces = list(dict.fromkeys(one.space for one in replays))
    colours = {
        name: INK if name == "transfer" else PALETTE[i % len(PALETTE)]
        for i, name in enumerate(dict.fromkeys(one.strategy for one in replays))
    }
    across = min(2, len(spaces))
    down = -(-len(spaces) // across)
    with figure(
        5.2 * across, 0.5 + 3.1 * down, nrows=down, ncols=across, squeeze=False, sharey=True
    ) as (made, grid):
        panels = grid.ravel().tolist()
        for axes, space in zip(panels, spaces, strict=False):
            _panel(axes, [one for one in replays if one.space == space], colours)
            axes.set_title(titles.get(space, space))
        for axes in panels[len(spaces) :]:
            axes.set_visible(False)
        evidence = ", ".join(dict.fromkeys(one.evidence for one in replays))
        for row in grid:
            row[0].set_ylabel(f"fraction of the optimum\n({evidence})")
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return made


def _panel(axes: Axes, replays: Sequence[Replay], colours: dict[str, str]) -> None:
    for one in replays:
        budget = one.fractions.shape[1]
        evaluations = np.arange(1, budget + 1)
        low, high = np.quantile(one.fractions, (0.25, 0.75), axis=0)
        colour, first = colours[one.strategy], one.strategy == "guided"
        axes.fill_between(evaluations, low, high, step="post", color=colour, alpha=0.13, lw=0)
        axes.plot(
            evaluations,
            one.fractions.mean(axis=0),
            color=colour,
            drawstyle="steps-post",
            lw=2.4 if first else 1.4,
            ls="--" if one.strategy == "transfer" else "-",
            zorder=4 if first else 3,
            label=one.strategy,
        )
    most = max(one.fractions.shape[1] for one in replays)
    marks = [mark for mark in BUDGETS if mark < most]
    for mark in marks:
        axes.axvline(mark, color=FAINT, lw=0.8, ls=":")
    axes.set(xscale="log", xlim=(1, max(most, 2)), ylim=(0, 1.03), xlabel="different evaluations")
    ticks = sorted({1, *marks, 100, most} if most >= 100 else {1, *marks, most})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
