"""Why: the time of a step, and what share of it each reason takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...roofline import Estimate
from ...roofline.reasons import (
    ACTIVATIONS,
    CACHE,
    IMBALANCE,
    KV,
    LATENCY,
    LINK,
    MORE_EXPERTS,
    TENSOR,
    WEIGHTS,
)
from .style import INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SHARE = 0.01
COLORS: dict[str, str] = dict(
    zip(
        (MORE_EXPERTS, WEIGHTS, KV, ACTIVATIONS, TENSOR, LINK, LATENCY, IMBALANCE, CACHE),
        (*(PALETTE[i] for i in (0, 5, 2, 3, 1, 4, 6, 7)), "#8c564b"),
        strict=True,
    )
)
"""A resource has the same colour in every plot; the two sorts of weights are both blue."""


def why(estimates: list[tuple[str, Estimate]], title: str) -> Figure:
    """For each (name, estimate) its seconds on a log scale, and beside them its reasons as shares
    of the whole; reasons under 1% everywhere are one."""
    names = [name for name, _ in estimates]
    height = 1.5 + 0.36 * len(names)
    with figure(9.6, height, ncols=2, sharey=True, width_ratios=(2, 3)) as (made, (left, right)):
        seconds = [estimate.seconds * 1e3 for _, estimate in estimates]
        left.scatter(seconds, range(len(names)), color=INK, s=22, zorder=3)
        left.hlines(range(len(names)), min(seconds) / 2, seconds, color=INK, lw=1)
        for y, (value, (_, estimate)) in enumerate(zip(seconds, estimates, strict=True)):
            left.annotate(
                f"{value:.3g} ms, {estimate.evidence}", (value, y), xytext=(4, 4),
                textcoords="offset points", fontsize=7,
            )  # fmt: skip
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
        left.set(
            xscale="log",
            xlim=(min(seconds) / 2, max(seconds) * 20),
            ylim=(len(names) - 0.4, -0.7),
            xlabel="ms a step",
        )
        made.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        _shares(right, [estimate for _, estimate in estimates])
        handles, labels = right.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower right", ncols=4, fontsize=7)
    return made


def _shares(axes: Axes, estimates: list[Estimate]) -> None:
    shares = [
        {name: part / estimate.seconds for name, part in estimate.by_resource().items()}
        for estimate in estimates
    ]
    names = list(dict.fromkeys(name for part in shares for name in part))
    large = [n for n in names if any(part.get(n, 0.0) >= LEAST_SHARE for part in shares)]
    large.sort(key=list(COLORS).index)
    left = [0.0] * len(shares)
    for name in large:
        width = [100 * part.get(name, 0.0) for part in shares]
        axes.barh(range(len(width)), width, left=left, height=0.62, label=name, color=COLORS[name])
        left = [a + b for a, b in zip(left, width, strict=True)]
    rest = [100 - total for total in left]
    if max(rest) > 0.05:
        axes.barh(range(len(rest)), rest, left=left, height=0.62, label="other", color="#cccccc")
    axes.set(xlim=(0, 100), xlabel="% of the step")
    axes.grid(axis="y", visible=False)
