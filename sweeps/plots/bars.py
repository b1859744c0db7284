"""Why: the time of a step as stacked bars, reason by reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...roofline import Estimate
from .style import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SHARE = 0.01


def why(estimates: list[tuple[str, Estimate]], title: str) -> Figure:
    """One bar for each (name, estimate), split by resource; reasons under 1% everywhere are one."""
    split = [estimate.by_resource() for _, estimate in estimates]
    names = list(dict.fromkeys(name for part in split for name in part))
    large = [
        name
        for name in names
        if any(
            part.get(name, 0.0) >= LEAST_SHARE * estimate.seconds
            for part, (_, estimate) in zip(split, estimates, strict=True)
        )
    ]
    with figure(7.2, 0.9 + 0.42 * len(estimates)) as (made, axes):
        left = [0.0] * len(estimates)
        for i, name in enumerate([*large, "other"]):
            width = [
                1e3 * (part.get(name, 0.0) if name != "other" else _rest(part, large))
                for part in split
            ]
            if not any(width):
                continue
            axes.barh(
                range(len(width)), width, left=left, height=0.7, label=name,
                color=PALETTE[i % len(PALETTE)],
            )  # fmt: skip
            left = [a + b for a, b in zip(left, width, strict=True)]
        for y, (total, (_, estimate)) in enumerate(zip(left, estimates, strict=True)):
            axes.annotate(
                f" {total:.3g} ms, {estimate.evidence}", (total, y), va="center", fontsize=7.5
            )
        axes.set_yticks(range(len(estimates)), [name for name, _ in estimates])
        axes.invert_yaxis()
        axes.set(xlabel="ms a step", title=title, xlim=(0, max(left) * 1.3))
        axes.grid(axis="y", visible=False)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.3 + 0.02 * len(estimates)), ncols=3)
    return made


def _rest(part: dict[str, float], large: list[str]) -> float:
    return sum(seconds for name, seconds in part.items() if name not in large)
