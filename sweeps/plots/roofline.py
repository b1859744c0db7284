"""Operators on the roof: intensity against reached FLOP/s, the size of a dot its share of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...base.units import show
from ...hardware import System
from ...roofline import Estimate
from ...roofline.bound import units
from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def operators_on_the_roof(
    estimates: list[tuple[str, Estimate]], system: System, title: str
) -> Figure:
    """One roof for each unit of the first device, one dot for each kind of operator of each
    estimate (name, estimate), at the rate its flops / seconds reach."""
    with figure() as (made, axes):
        low, high = _roofs(axes, estimates, system)
        for i, (label, estimate) in enumerate(estimates):
            _dots(axes, label, estimate, PALETTE[i % len(PALETTE)])
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(low, high),
            xlabel="operations per byte from memory",
            ylabel="FLOP/s on one device",
            title=title,
        )
        axes.legend(loc="lower right", title="dot area: share of the step's time")
    return made


def _roofs(
    axes: object, estimates: list[tuple[str, Estimate]], system: System
) -> tuple[float, float]:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    dtypes = {
        op.dtype
        for _, estimate in estimates
        for op in estimate.table.operators
        if op.part in ("experts", "attention")
    }
    low, high = 0.1, 1e4
    x = np.geomspace(low, high, 200)
    for unit in units(system.devices[0]):
        rate = unit.bandwidth_bytes_per_s
        for dtype in sorted(dtypes):
            peak = unit.device.peak(dtype)
            axes.plot(x, np.minimum(x * rate, peak), color=INK, lw=1.2)
            axes.annotate(
                f"{unit.device.name} {dtype}: {show(peak, 'FLOP/s')}, {show(rate, 'B/s')}",
                (high, peak),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                color=INK,
            )
        axes.axvline(peak / rate, color=FAINT, lw=0.6, ls=":")
    return low, high


def _dots(axes: object, label: str, estimate: Estimate, color: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    table, seconds = estimate.table, estimate.operator_s[:, 0]
    moved = (table.weight_bytes + table.kv_bytes)[:, 0]
    for n, name in enumerate(dict.fromkeys(op.name for op in table.operators)):
        rows = [i for i, op in enumerate(table.operators) if op.name == name and not op.group]
        flops, bytes_, spent = (float(a[rows].sum()) for a in (table.flops[:, 0], moved, seconds))
        if not (flops and bytes_ and spent):
            continue
        share = spent / estimate.seconds
        axes.scatter(
            flops / bytes_,
            flops / spent,
            s=12 + 900 * share,
            color=color,
            alpha=0.55,
            lw=0,
            label=label if n == _first(table) else None,
        )
        if share > 0.02:
            axes.annotate(
                name,
                (flops / bytes_, flops / spent),
                xytext=(6, -9),
                textcoords="offset points",
                fontsize=6.5,
                color=color,
            )


def _first(table: object) -> int:
    """The number of the first operator name that has flops and bytes: it carries the label."""
    from ...roofline import OperatorTable

    assert isinstance(table, OperatorTable)
    names = list(dict.fromkeys(op.name for op in table.operators))
    for n, name in enumerate(names):
        rows = [i for i, op in enumerate(table.operators) if op.name == name and not op.group]
        moved = table.weight_bytes[rows, 0] + table.kv_bytes[rows, 0]
        if table.flops[rows, 0].sum() and moved.sum():
            return n
    return 0
