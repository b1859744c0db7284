"""Maps over batch and number of experts: which processor is fastest, and what both at once gain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..crossover import ALONE, BOTH, Crossing
from .style import INK, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TINTS = {"GPU": "#9ecae9", "Bank-PIM": "#f7c9a0", "Logic-PIM": "#a6dcc6"}
"""Light enough for lines and letters above them; the names stand in the regions besides."""
FINE = 240
"""Points of each axis at which colours may change: seconds are interpolated in logarithms."""
GAINS = (1.25, 1.5, 2.0, 3.0)
RISING, FALLING = 0.30, 0.62
"""Heights at which the lines of gains are named, left and right of the largest gain."""
EVEN = 1 - 1e-6
"""The gain at which a Bank-PIM begins to beat Duplex: below 1, which is what Duplex keeps where one
of its units does all."""


def region_maps(found: Sequence[Crossing]) -> Figure:
    """A panel for each model."""
    with figure(0.8 + 4.0 * len(found), 4.6, ncols=len(found), squeeze=False) as (made, axes):
        for one, panel in zip(found, axes[0], strict=True):
            _panel(panel, one)
        axes[0][0].set_ylabel("experts of the layer, parameters and top-k fixed")
        _legend(made, len(found))
    return made


def _panel(axes: Axes, one: Crossing) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    x, y = np.log2(one.batches), np.log2(one.experts)
    fine_x, fine_y = np.linspace(x[0], x[-1], FINE), np.linspace(y[0], y[-1], FINE)
    seconds = {
        name: np.exp(_between(np.log(values), (y, x), (fine_y, fine_x)))
        for name, values in one.seconds.items()
    }
    alone = np.stack([seconds[name] for name in ALONE])
    axes.pcolormesh(
        fine_x, fine_y, alone.argmin(axis=0), shading="nearest", rasterized=True,
        cmap=ListedColormap([TINTS[name] for name in ALONE]),
        norm=BoundaryNorm(np.arange(len(ALONE) + 1) - 0.5, len(ALONE)),
    )  # fmt: skip
    gain = alone.min(axis=0) / seconds[BOTH]
    if gain.min() < EVEN:
        axes.contour(fine_x, fine_y, gain, levels=[EVEN], colors=INK, linewidths=2.2)
    levels = [level for level in GAINS if gain.min() < level < gain.max()]
    if levels:
        lines = axes.contour(fine_x, fine_y, gain, levels=levels, colors=INK, linewidths=0.8)
        places = _along(gain, levels, fine_x, fine_y)
        axes.clabel(lines, fmt=lambda level: f"{level:g}x", fontsize=8, manual=places)
    _names(axes, alone.argmin(axis=0), fine_x, fine_y)
    axes.axhline(np.log2(one.own), color=INK, lw=1, ls=(0, (1, 2)))
    _ticks(axes, one)
    axes.grid(visible=False)
    axes.set(title=one.model, xlabel="tokens of a step")


def _along(
    gain: NDArray[np.float64],
    levels: list[float],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> list[tuple[float, float]]:
    """Where two rows of the map pass the levels: once while gains rise, once while they fall."""
    found = []
    for height, rising in ((RISING, True), (FALLING, False)):
        row = gain[int(height * (FINE - 1))]
        most = int(row.argmax())
        for level in levels:
            part = row[:most] < level if rising else row[most:] > level
            at = int(part.sum()) + (0 if rising else most)
            if 0 < part.sum() < part.size:
                found.append((float(x[at]), float(y[int(height * (FINE - 1))])))
    return found


def _names(
    axes: Axes, region: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> None:
    """The name of each region of some size, in its middle at a height of its own."""
    from matplotlib.patheffects import withStroke

    for i, (name, height) in enumerate(zip(ALONE, (0.10, 0.90, 0.78), strict=True)):
        row = int(height * (FINE - 1))
        inside = np.flatnonzero(region[row] == i)
        if inside.size > FINE // 8:
            halo = withStroke(linewidth=3, foreground=TINTS[name])
            axes.text(
                float(x[inside].mean()), float(y[row]), name, ha="center", va="center",
                weight="bold", color=INK, path_effects=[halo], zorder=5,
            )  # fmt: skip


def _between(
    values: NDArray[np.float64],
    known: tuple[NDArray[np.float64], NDArray[np.float64]],
    wanted: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Values `[rows, columns]` read linearly at other rows and columns."""
    across = np.stack([np.interp(wanted[1], known[1], row) for row in values])
    return np.stack([np.interp(wanted[0], known[0], column) for column in across.T]).T


def _ticks(axes: Axes, one: Crossing) -> None:
    every = range(0, int(np.log2(one.batches[-1])) + 1, 2)
    axes.set_xticks(list(every), [str(2**power) for power in every])
    counts = [c for c in one.experts.tolist() if np.isclose(np.log2(c / one.own) % 1, 0)]
    axes.set_yticks(
        np.log2(counts).tolist(),
        [f"{count} (own)" if count == one.own else str(count) for count in counts],
    )


def _legend(made: Figure, panels: int) -> None:
    """Below the panels, in as many columns as they are wide."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        *(Patch(color=TINTS[name], label=f"{name} fastest alone") for name in ALONE),
        Line2D([], [], color=INK, lw=0.8, label=f"gain of {BOTH} over it"),
        Line2D([], [], color=INK, lw=2.2, label=f"left of it Bank-PIM beats {BOTH}"),
    ]
    made.legend(handles=handles, loc="outside lower center", ncols={1: 2, 2: 3}.get(panels, 5))
