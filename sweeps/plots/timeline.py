"""Who did what when: the lanes of a few devices over a window of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...simulator import LANES, Timeline
from .style import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lanes(timeline: Timeline, title: str, *, devices: int = 4, layers: int = 2) -> Figure:
    """The first `devices` devices during `layers` layers in the middle of the step."""
    middle = int(np.median(timeline.layer[timeline.layer >= 0]))
    inside = (timeline.layer >= middle) & (timeline.layer < middle + layers)
    begin, end = timeline.start_s[inside].min(), timeline.end_s[inside].max()
    shown = (timeline.start_s < end) & (timeline.end_s > begin) & (timeline.device < devices)
    parts = [name.partition(".")[0] for name in timeline.names]
    order = list(dict.fromkeys(parts))
    count = min(devices, timeline.devices)
    with figure(9.6, 1.2 + 0.5 * count) as (made, axes):
        for part in order:
            mine = shown & np.isin(timeline.name, [i for i, p in enumerate(parts) if p == part])
            if not mine.any():
                continue
            y = timeline.device[mine] * len(LANES) + timeline.lane[mine]
            axes.barh(
                y,
                (timeline.end_s[mine] - timeline.start_s[mine]) * 1e6,
                left=(timeline.start_s[mine] - begin) * 1e6,
                height=0.8,
                color=PALETTE[order.index(part) % len(PALETTE)],
                hatch="//" if order.index(part) >= len(PALETTE) else None,
                label=part,
            )
        rows = range(count * len(LANES))
        axes.set_yticks(rows, [f"device {r // 2} {LANES[r % 2]}" for r in rows])
        axes.invert_yaxis()
        axes.set(
            xlim=(0, (end - begin) * 1e6),
            xlabel=f"us within layers {middle} to {middle + layers - 1} ({timeline.evidence})",
            title=title,
        )
        axes.legend(ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
    return made
