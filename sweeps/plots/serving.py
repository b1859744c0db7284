"""A serving run: its stages in time, and how long its users wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...simulator.serving import Served
from .style import INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 400
"""Stages of the first picture, from the middle of the run."""
MOST_POINTS = 2000
"""Points of a line: more would not be seen."""


def run_in_time(served: Served, title: str) -> Figure:
    """Stages from the middle of the run; tokens made by each stage; distributions of waits."""
    with figure(9.6, 7.2, nrows=3) as (made, axes):
        _stages(axes[0], served)
        axes[0].set_title(title)
        _batch(axes[1], served)
        _waits(axes[2], served)
    return made


def _stages(axes: Axes, served: Served) -> None:
    first = max(0, served.stage_s.size // 2 - SHOWN // 2)
    shown = slice(first, first + SHOWN)
    mixed, ends = served.mixed[shown], served.stage_end_s[shown]
    seconds = served.stage_s[shown]
    kinds: tuple[tuple[str, NDArray[np.bool_]], ...] = (("decode", ~mixed), ("with prompts", mixed))
    for colour, (kind, mine) in zip(PALETTE, kinds, strict=False):
        begins = (ends - seconds)[mine]
        axes.bar(
            begins, seconds[mine] * 1e3, seconds[mine], align="edge", color=colour, label=kind, lw=0
        )
    axes.set(xlabel=f"s, {ends.size} stages from the middle of the run", ylabel="ms of a stage")
    axes.set_xlim(ends[0] - seconds[0], ends[-1])
    axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def _batch(axes: Axes, served: Served) -> None:
    some = np.unique(np.linspace(0, served.stage_s.size - 1, MOST_POINTS).astype(np.int64))
    axes.plot(served.stage_end_s[some], served.tokens[some], color=PALETTE[0], lw=1)
    end = served.stage_end_s[served.steady][-1]
    if end < served.stage_end_s[-1]:
        axes.axvline(end, color=INK, lw=1, ls=":")
        axes.annotate(
            "counted up to here ", (end, 0), ha="right", va="bottom", fontsize=8, color=INK
        )
    axes.set(xlabel="s", ylabel="tokens of a stage", ylim=(0, None))


def _waits(axes: Axes, served: Served) -> None:
    """The share of gaps and requests that wait at most so long."""
    gaps = served.decoding[served.steady].astype(np.float64)
    lines: dict[str, tuple[NDArray[np.float64], Any]] = {
        "TBT": (served.stage_s[served.steady], gaps),
        "T2FT": (served.first_token_s - served.arrival_s, None),
        "E2E": (served.finish_s - served.arrival_s, None),
    }
    for name, (values, weights) in lines.items():
        order = np.argsort(values, kind="stable")
        below = np.cumsum(np.ones(values.size) if weights is None else weights[order])
        if below[-1] > 0:
            axes.plot(values[order], below / below[-1], drawstyle="steps-post")
            middle = values[order][np.searchsorted(below, below[-1] / 2)]
            axes.annotate(f"{name} ", (middle, 0.5), ha="right", va="center", color=INK)
    axes.set(xscale="log", xlabel="s", ylabel="share that waits at most", ylim=(0, 1.02))
