"""Heat maps of a memory's efficiency: address maps and queues against layouts and experts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...base.units import show
from ...simulator.memory import Row, best_map
from .style import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def efficiency_maps(rows: Sequence[Row]) -> Figure:
    """The share of peak of every row: maps and queues down, layouts of one expert size a panel.

    The map whose worst cell is the best is named in the title and set in bold.
    """
    streams = list(dict.fromkeys((row.stream, row.expert_bytes) for row in rows))
    across = list(dict.fromkeys((r.layout, r.readers, r.tile_bytes) for r in rows))
    down = list(dict.fromkeys((row.map, row.queue) for row in rows))
    cells = np.full((len(streams), len(down), len(across)), np.nan)
    for row in rows:
        at = streams.index((row.stream, row.expert_bytes))
        column = across.index((row.layout, row.readers, row.tile_bytes))
        cells[at, down.index((row.map, row.queue)), column] = row.share_of_peak
    best = best_map(rows)
    size = (2.4 + max(1.8, 0.62 * len(across)) * len(streams), 1.9 + 0.21 * len(down))
    with figure(*size, ncols=len(streams), sharey=True, squeeze=False) as (made, axes):
        for axis, (name, expert), part in zip(axes[0], streams, cells, strict=True):
            axis.imshow(part, cmap="viridis", vmin=0, vmax=1, aspect="auto")
            axis.grid(visible=False)
            axis.set_title(f"{name}, {show(expert, 'B')}", fontsize=8)
            axis.set_xticks(range(len(across)), _names(across), rotation=40, ha="right", fontsize=7)
            for (i, k), share in np.ndenumerate(part):
                colour = "black" if share > 0.6 else "white"
                axis.text(k, i, f"{share:.2f}", ha="center", va="center", fontsize=6, color=colour)
            for i, (left, right) in enumerate(itertools.pairwise(down)):
                if left[0] != right[0]:
                    axis.axhline(i + 0.5, color="white", linewidth=1)
        first = axes[0, 0]
        first.set_ylabel("address map, entries of a queue")
        first.set_yticks(range(len(down)), [f"{name}, {queue}" for name, queue in down], fontsize=7)
        for label, (name, _) in zip(first.get_yticklabels(), down, strict=True):
            label.set_fontweight("bold" if name == best else "normal")
        bar = made.colorbar(first.images[0], ax=axes[0].tolist(), pad=0.01)
        bar.set_label("share of peak bandwidth (simulated)")
        made.suptitle(f"Expert streams on {rows[0].config}\nbest worst case: {best}", fontsize=9)
    return made


def _names(across: Sequence[tuple[str, int, int]]) -> list[str]:
    """Layouts, with readers and tiles where these differ too."""
    readers, tiles = ({each[i] for each in across} for i in (1, 2))
    return [
        layout
        + (f", {reading} readers" if len(readers) > 1 else "")
        + (f", {tile} B" if len(tiles) > 1 else "")
        for layout, reading, tile in across
    ]
