"""Placements side by side: prices by method, traffic between ranks, balance against hops, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def prices_by_method(
    names: Sequence[str],
    prices: Mapping[str, Sequence[float]],
    lines: dict[str, dict[str, float]],
    chosen: str,
    title: str,
) -> Figure:
    """A panel of points for each price (name -> a number a method), with named lines across it."""
    size = (2.6 * len(prices) + 1.6, 1.5 + 0.26 * len(names))
    with figure(*size, ncols=len(prices), sharey=True) as (made, panels):
        panels = np.atleast_1d(panels)
        place = np.arange(len(names))
        colours = [PALETTE[1] if name == chosen else PALETTE[0] for name in names]
        for axes, (price, values) in zip(panels, prices.items(), strict=True):
            axes.scatter(values, place, color=colours, s=36, zorder=3)
            for (label, at), style in zip(lines.get(price, {}).items(), ("--", ":"), strict=False):
                axes.axvline(at, color=INK, lw=1, ls=style, label=label)
            if price in lines:
                axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
            axes.set(xlabel=price)
            axes.margins(x=0.12)
        panels[0].set_yticks(place, names)
        panels[0].invert_yaxis()
        made.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return made


def traffic_before_and_after(
    before: NDArray[np.float64], after: NDArray[np.float64], names: tuple[str, str], title: str
) -> Figure:
    """Share of all transitions from rank to rank, `[ranks, ranks]`, over an even spread."""
    even = 1 / before.size
    maps = [part / part.sum() / even for part in (before, after)]
    most = max(float(part.max()) for part in maps)
    with figure(8.4, 3.9, ncols=2) as (made, panels):
        shown = [
            axes.imshow(part, cmap="viridis", vmin=0, vmax=most)
            for axes, part in zip(panels, maps, strict=True)
        ]
        for axes, part, name in zip(panels, maps, names, strict=True):
            axes.grid(visible=False)
            stay = float(np.trace(part) * even)
            axes.set(xlabel="to rank", ylabel="from rank", title=f"{name}: {stay:.1%} stay")
        made.colorbar(shown[0], ax=list(panels), label="transitions / even spread", shrink=0.85)
        made.suptitle(title, x=0.01, ha="left", fontsize=9)
    return made


def balance_against_hops(
    points: dict[str, tuple[float, float]],
    front: Sequence[tuple[float, float, str]],
    bound: float | None,
    title: str,
) -> Figure:
    """Methods as points (imbalance, hops), and joint at several caps as a line."""
    with figure(8.2, 4.6) as (made, axes):
        _scatter(axes, points)
        if front:
            x, y, labels = zip(*front, strict=True)
            axes.plot(x, y, color=PALETTE[1], marker="o", ms=4, label="joint by cap")
            for at, height, label in zip(x, y, labels, strict=True):
                axes.annotate(
                    label, (at, height), xytext=(4, 4), textcoords="offset points", fontsize=7
                )
        if bound is not None:
            axes.axhline(bound, color=INK, lw=1, ls="--", label="bound on learnt hops")
        axes.set(
            xlabel="busiest rank / mean, mean layer, unseen requests",
            ylabel="share of transitions that hop, unseen",
            title=title,
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        axes.margins(x=0.12, y=0.15)
    return made


def _scatter(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Methods as numbered points; those on one spot share a number. Their names stand beside."""
    spread = [max(axis) - min(axis) or 1.0 for axis in zip(*points.values(), strict=True)]
    spots: list[list[str]] = []
    for name, (x, y) in sorted(points.items(), key=lambda item: item[1]):
        near = [
            spot
            for spot in spots
            if abs(points[spot[0]][0] - x) < spread[0] / 40
            and abs(points[spot[0]][1] - y) < spread[1] / 25
        ]
        near[0].append(name) if near else spots.append([name])
    for number, together in enumerate(spots, 1):
        for name in together:
            axes.plot(*points[name], color=PALETTE[0], marker="o", ls="")
        axes.annotate(
            str(number), points[together[0]], xytext=(-11, -3), textcoords="offset points"
        )
    lines = [f"{number}  " + "\n    ".join(spot) for number, spot in enumerate(spots, 1)]
    axes.text(1.02, 0.98, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=8)


def drift_map(domains: Sequence[str], prices: dict[str, NDArray[np.float64]], title: str) -> Figure:
    """A heat map for each price: learnt on the row's text, scored on the column's."""
    rows = [*domains, "all"]
    with figure(1.2 + 3.8 * len(prices), 3.9, ncols=len(prices)) as (made, panels):
        for axes, (price, cells) in zip(np.atleast_1d(panels), prices.items(), strict=True):
            axes.imshow(cells, cmap="YlOrBr")
            axes.grid(visible=False)
            axes.set_xticks(range(len(domains)), domains, rotation=30, ha="right", fontsize=7)
            axes.set_yticks(range(len(rows)), rows, fontsize=7)
            middle = (cells.max() + cells.min()) / 2
            for (i, j), value in np.ndenumerate(cells):
                colour = "white" if value > middle else INK
                axes.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=7, color=colour)
            axes.set(xlabel="scored on", ylabel="learnt on", title=price)
        made.suptitle(title, x=0.01, ha="left", fontsize=9)
    return made


def balance_curves(
    curves: Sequence[tuple[str, Sequence[float], Sequence[float], Sequence[float]]], title: str
) -> Figure:
    """Panels of (what is paid, price, worst layer reached, bound) side by side."""
    with figure(4.2 * len(curves), 3.4, ncols=len(curves)) as (made, panels):
        for axes, (label, price, reached, bound) in zip(np.atleast_1d(panels), curves, strict=True):
            axes.plot(price, reached, marker="o", ms=4, label="reached")
            axes.plot(price, bound, color=FAINT, ls="--", label="bound")
            axes.set(xlabel=label, ylabel="busiest rank / mean, worst layer")
            axes.legend()
        made.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return made
