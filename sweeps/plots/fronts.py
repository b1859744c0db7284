"""Pareto fronts of FPGA designs, board by board, with what heuristics found and papers printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..fpga.compare import Score
from ..fpga.search import Front
from ..fpga.space import OBJECTIVES
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LATENCY, DSP = OBJECTIVES.index("latency_s"), OBJECTIVES.index("dsp")
MARKERS = {"two-stage": "^", "nsga2": "s", "random": "x"}
COLUMNS = 4
Point = tuple[str, float, float]
"""A published design: its name, DSP and seconds an image."""


def staircase(objectives: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DSP and latency of the designs that no other beats in these two."""
    order = np.lexsort((objectives[:, LATENCY], objectives[:, DSP]))
    dsp, latency = objectives[order, DSP], objectives[order, LATENCY]
    before = np.concatenate(([np.inf], np.minimum.accumulate(latency)[:-1]))
    return dsp[latency < before], latency[latency < before]


def fronts_by_board(
    fronts: Sequence[Front],
    scores: Mapping[str, Sequence[Score]],
    published: Mapping[str, Sequence[Point]],
    title: str,
) -> Figure:
    """A panel a board: latency against DSP, a line a precision; the heuristics' designs of `scores`
    (by front's name) as marks, and published points of boards as diamonds."""
    boards = list(dict.fromkeys(front.space.board.name for front in fronts))
    names = dict.fromkeys(front.space.precision.name for front in fronts)
    colours = dict(zip(names, PALETTE, strict=False))
    across = min(COLUMNS, len(boards))
    down = -(-len(boards) // across)
    marks = _legend(colours, scores, any(published.get(board) for board in boards))
    width = max(6.0, 3.0 * across)
    columns = _columns(marks, width)
    size = (width, 0.6 + 0.2 * -(-len(marks) // columns) + 2.5 * down)
    shared = {"squeeze": False, "sharex": True, "sharey": True}
    with figure(*size, nrows=down, ncols=across, **shared) as (made, grid):
        panels = grid.ravel()
        for axes in panels[len(boards) :]:
            axes.set_visible(False)
        for axes, board in zip(panels, boards, strict=False):
            for front in fronts:
                if front.space.board.name == board and len(front.place):
                    colour = colours[front.space.precision.name]
                    _lines(axes, front, colour, scores.get(front.name, ()))
            _diamonds(axes, published.get(board, ()))
            axes.set(xscale="log", yscale="log", title=board)
        for axes in grid[:, 0]:
            axes.set_ylabel("ms an image, one under way")
        for axes in panels[max(0, len(boards) - across) : len(boards)]:
            axes.set_xlabel("DSP")
            axes.tick_params(labelbottom=True)
        made.legend(handles=marks, loc="outside lower center", ncols=columns)
        made.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return made


def _lines(axes: Axes, front: Front, colour: str, scores: Sequence[Score]) -> None:
    dsp, latency = staircase(front.found.objectives)
    axes.step(dsp, latency * 1e3, where="post", color=colour, lw=1.8)
    look: dict[str, Any] = {"ls": "", "ms": 3.2, "mfc": "none", "color": colour, "alpha": 0.8}
    for score in scores:
        if len(score.objectives):
            x, y = staircase(score.objectives)
            axes.plot(x, y * 1e3, marker=MARKERS[score.name], **look)


def _diamonds(axes: Axes, points: Sequence[Point]) -> None:
    above: dict[str, Any] = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
    for name, dsp, seconds in points:
        axes.scatter(dsp, seconds * 1e3, marker="D", s=36, color=INK, zorder=5)
        axes.annotate(name, (dsp, seconds * 1e3), fontsize=7, **above)


def _legend(
    colours: Mapping[str, str], scores: Mapping[str, Sequence[Score]], known: bool
) -> list[Line2D]:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=c, lw=1.8, label=f"{n}, exact") for n, c in colours.items()]
    for name in dict.fromkeys(score.name for found in scores.values() for score in found):
        marks.append(Line2D([], [], ls="", marker=MARKERS[name], ms=5, color=FAINT, label=name))
    if known:
        label = "board, measured-published"
        marks.append(Line2D([], [], ls="", marker="D", ms=5, color=INK, label=label))
    return marks


def _columns(marks: Sequence[Line2D], width: float) -> int:
    """How many columns of a legend fit in `width` inches: 8 points are 0.07 inches a letter, the
    mark and both gaps take 0.6."""
    longest = max(len(str(mark.get_label())) for mark in marks)
    return max(1, min(len(marks), int(width / (0.6 + 0.07 * longest))))


def latencies_near(
    latencies: Mapping[int, NDArray[np.float64]], printed_s: float, title: str
) -> Figure:
    """How many designs take how long, by tokens of an image, beside a printed latency."""
    with figure(6.4, 3.4) as (made, axes):
        every = np.concatenate(list(latencies.values())) * 1e3
        edges = np.geomspace(every.min(), every.max(), 60)
        for i, (tokens, seconds) in enumerate(latencies.items()):
            axes.hist(
                seconds * 1e3, edges, histtype="step", lw=1.8, color=PALETTE[i],
                label=f"{tokens} tokens, closed form",
            )  # fmt: skip
        axes.axvline(printed_s * 1e3, color=INK, lw=1.2, ls="--", label="board, measured-published")
        axes.set(xscale="log", xlabel="ms an image", ylabel="designs", title=title)
        ticks = [t for t in (5, 10, 20, 50, 100, 200, 500) if every.min() <= t <= every.max()]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.legend()
    return made
