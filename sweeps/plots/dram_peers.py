"""The share of its peak that each memory gives to each trace, by every simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..accuracy.dram import IDLE, NAMES, Beside, Who
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS: dict[Who, dict[str, Any]] = {
    "ours": {"marker": "o", "s": 16, "color": PALETTE[0], "zorder": 4},
    "ramulator": {"marker": "o", "s": 64, "facecolor": "none", "edgecolor": INK, "zorder": 3},
    "dramsim3": {"marker": "D", "s": 26, "color": PALETTE[1], "zorder": 3},
    "moesaic": {"marker": "_", "s": 90, "lw": 2, "color": PALETTE[2], "zorder": 3},
}


def shares_of_peak(rows: Sequence[Beside]) -> Figure:
    """A panel for each memory, traces along x, and one with the latency of idle memories; of the
    runs with refresh and queues of 32."""
    plain = [row for row in rows if row.plain]
    configs = list(dict.fromkeys(row.config for row in plain))
    count = len(configs) + 1
    lines = -(-count // 2)
    with figure(10.4, 1.0 + 3.0 * lines, nrows=lines, ncols=2, squeeze=False) as (made, grid):
        panels = grid.ravel().tolist()
        for axes, config in zip(panels, configs, strict=False):
            _panel(axes, config, [row for row in plain if row.config == config])
        _idle(panels[len(configs)], [row for row in plain if row.pattern == IDLE])
        for axes in panels[count:]:
            axes.set_visible(False)
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=4)
    return made


def _panel(axes: Axes, config: str, rows: Sequence[Beside]) -> None:
    shown = [row for row in rows if row.pattern != IDLE]
    found = [[run.share_of_peak for run in row.runs.values()] for row in shown]
    places = range(len(shown))
    axes.vlines(places, [min(f) for f in found], [max(f) for f in found], color=FAINT, lw=1)
    for who, look in LOOKS.items():
        shares = [row.runs[who].share_of_peak for row in shown]
        axes.scatter(places, shares, label=NAMES[who], **look)
    axes.set_xticks(places, [row.pattern for row in shown], rotation=40, ha="right", fontsize=7)
    axes.set(title=config, ylabel="share of peak (simulated)", ylim=(0, 1.05))
    axes.grid(axis="x", visible=False)


def _idle(axes: Axes, rows: Sequence[Beside]) -> None:
    places = range(len(rows))
    for who, look in LOOKS.items():
        latencies = [row.runs[who].read_latency_cycles for row in rows]
        axes.scatter(places, latencies, label=NAMES[who], **look)
    names = [row.config for row in rows]
    axes.set_xticks(places, names, rotation=20, ha="right", fontsize=7)
    axes.set(title="Latency of an idle memory", ylabel="clock cycles a read (simulated)")
    highest = max((run.read_latency_cycles for row in rows for run in row.runs.values()), default=1)
    axes.set(ylim=(0, 1.08 * highest), xlim=(-0.6, len(rows) - 0.4))
    axes.grid(axis="x", visible=False)
