"""Operators on the roof: intensity against reached FLOP/s, the size of a dot its share of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...base.units import show
from ...hardware import System
from ...roofline import Estimate
from ...roofline.bound import units
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOW, HIGH = 0.1, 1e5
LEAST_SHARE = 0.01
"""Operators that take less of the step go without a name."""


class Dot(NamedTuple):
    """Operators of one kind on one device: operations per byte, FLOP/s reached, share of time."""

    name: str
    intensity: float
    rate: float
    share: float


def operators_on_the_roof(
    estimates: list[tuple[str, Estimate]], system: System, title: str
) -> Figure:
    """One roof for each unit of the first device, one dot for each kind of operator of each
    estimate (name, estimate), at the rate its flops / seconds reach."""
    from matplotlib.lines import Line2D

    with figure() as (made, axes):
        _roofs(axes, estimates, system)
        handles = []
        for i, (label, estimate) in enumerate(estimates):
            color = PALETTE[i % len(PALETTE)]
            found = dots(estimate)
            for dot in found:
                area = 12 + 900 * dot.share
                axes.scatter(dot.intensity, dot.rate, s=area, color=color, alpha=0.5, lw=0)
            _names(axes, found, color, above=i % 2 == 1)
            handles.append(Line2D([], [], marker="o", ls="", color=color, alpha=0.6, label=label))
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(LOW, HIGH),
            xlabel="operations per byte from memory",
            ylabel="FLOP/s on one device",
            title=title,
        )
        axes.legend(handles=handles, loc="lower right", title="dot area: share of the step")
    return made


def dots(estimate: Estimate) -> list[Dot]:
    """The kinds of operator that compute and read memory, on the first device."""
    table, seconds = estimate.table, estimate.operator_s[:, 0]
    moved = (table.weight_bytes + table.kv_bytes)[:, 0]
    names = np.array([op.name for op in table.operators])
    local = np.array([not op.group for op in table.operators])
    found = []
    for name in dict.fromkeys(names.tolist()):
        rows = (names == name) & local
        flops, taken, spent = (
            float(column[rows].sum()) for column in (table.flops[:, 0], moved, seconds)
        )
        if flops and taken and spent:
            found.append(Dot(name, flops / taken, flops / spent, spent / estimate.seconds))
    return found


def _roofs(axes: Axes, estimates: list[tuple[str, Estimate]], system: System) -> None:
    dtypes = {
        op.dtype
        for _, estimate in estimates
        for op in estimate.table.operators
        if op.part in ("experts", "attention")
    }
    x = np.geomspace(LOW, HIGH, 200)
    for unit in units(system.devices[0]):
        rate = unit.bandwidth_bytes_per_s
        for dtype in sorted(dtypes):
            peak = unit.device.peak(dtype)
            axes.plot(x, np.minimum(x * rate, peak), color=INK, lw=1.2)
            axes.axvline(peak / rate, color=FAINT, lw=0.6, ls=":")
            text = f"{unit.device.name} {dtype}: {show(peak, 'FLOP/s')}, {show(rate, 'B/s')}"
            axes.annotate(
                text, (HIGH, peak), xytext=(-2, 5), textcoords="offset points", ha="right",
                fontsize=7, color=INK,
            )  # fmt: skip


def _names(axes: Axes, found: list[Dot], color: str, *, above: bool) -> None:
    """One label for dots that lie together, largest share first: below on the right or above on
    the left, in turn, so that those of two loads at one place stay apart."""
    left = sorted((dot for dot in found if dot.share >= LEAST_SHARE), key=lambda dot: -dot.share)
    while left:
        first = left[0]
        close = [dot for dot in left if _near(first, dot)]
        left = [dot for dot in left if dot not in close]
        text = "\n".join(f"{dot.name} {dot.share:.0%}" for dot in close)
        axes.annotate(
            text,
            (first.intensity, first.rate),
            xytext=(-13, 5) if above else (9, -7),
            textcoords="offset points",
            va="bottom" if above else "top",
            ha="right" if above else "left",
            fontsize=6,
            linespacing=1.15,
            color=color,
        )


def _near(a: Dot, b: Dot) -> bool:
    """Whether two labels would collide: near on the slope, or both at the flat peak."""
    return bool(abs(np.log10(a.intensity / b.intensity)) < 0.45 or abs(a.rate / b.rate - 1) < 0.02)
