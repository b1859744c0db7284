"""Kernels as they were executed: what their instructions are, and how often bytes come again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...kernels import Explained
from ...kernels.compiled.explain import Traffic
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSES: dict[str, tuple[str, ...]] = {
    "mma": ("mma",),
    "ldmatrix": ("ldmatrix",),
    "cp.async": ("cp.async",),
    "global memory": ("global load", "global store", "local"),
    "shared memory": ("shared load", "shared store", "atomic"),
    "float": ("float",),
    "integer, move": ("integer", "move"),
    "control, barrier, exchange": ("control", "barrier", "warp exchange"),
}
"""The executor's classes of instructions, as few as a plot can show."""
COLORS = dict(
    zip(CLASSES, (*(PALETTE[i] for i in (0, 5, 2, 1, 4, 3)), "#c8c8c8", "#7a7a7a"), strict=True)
)
ORANGE = PALETTE[1]


def instructions_and_bytes(found: Sequence[Explained]) -> Figure:
    """For each configuration the classes of its warp instructions in percent, and beside them the
    bytes that its loads and stores touched over the least."""
    names = [f"{one.kernel}/{one.config}" for one in found]
    height = 1.5 + 0.34 * len(names)
    with figure(9.6, height, ncols=2, sharey=True, width_ratios=(3, 2)) as (made, (left, right)):
        _mix(left, found)
        left.set_yticks(range(len(names)), names)
        left.set_ylim(len(names) - 0.5, -0.5)
        _bytes(right, found)
        title = f"What the kernels execute, {found[0].arch} (simulated)"
        made.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        handles, labels = left.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower left", ncols=4, fontsize=7)
        handles, labels = right.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower right", ncols=2, fontsize=7)
    return made


def _mix(axes: Axes, found: Sequence[Explained]) -> None:
    left = [0.0] * len(found)
    for name, kinds in CLASSES.items():
        width = [
            100 * sum(one.counters.mix.get(k, 0) for k in kinds) / one.counters.instructions
            for one in found
        ]
        axes.barh(range(len(width)), width, left=left, height=0.66, label=name, color=COLORS[name])
        left = [a + b for a, b in zip(left, width, strict=True)]
    axes.set(xlim=(0, 100), xlabel="% of the PTX instructions of warps")
    axes.grid(axis="y", visible=False)


def _bytes(axes: Axes, found: Sequence[Explained]) -> None:
    axes.axvline(1, color=FAINT, lw=1)
    for name, marker, color, beside in (("loads", "o", INK, -0.14), ("stores", "D", ORANGE, 0.14)):
        parts: list[Traffic] = [getattr(one, name) for one in found]
        over = [part.moved / part.least for part in parts if part.least]
        rows = [y + beside for y, part in enumerate(parts) if part.least]
        axes.scatter(over, rows, label=name, marker=marker, color=color, s=24, zorder=3)
    axes.set(xlabel="bytes touched / least (no cache)")
