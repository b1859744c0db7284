"""Duplex: throughput over the GPU by length and batch, and experts shared between two units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .style import INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TICKS_US = (20, 50, 100, 200, 500, 1000, 2000)


def throughput(ratios: Mapping[str, Mapping[Any, float]], points: Sequence[Any]) -> Figure:
    """Bars a machine, a group a (length, batch), a panel a model; points have case, length and
    batch."""
    cases = list(dict.fromkeys(point.case for point in points))
    most = max(value for values in ratios.values() for value in values.values())
    with figure(10.4, 0.6 + 2.1 * len(cases), nrows=len(cases), sharey=True) as (made, panels):
        for axes, case in zip(np.atleast_1d(panels), cases, strict=True):
            own = [point for point in points if point.case == case]
            width = 0.84 / len(ratios)
            for i, (name, values) in enumerate(ratios.items()):
                at = np.arange(len(own)) - 0.42 + width * (i + 0.5)
                axes.bar(at, [values[p] for p in own], width * 0.92, label=name, color=PALETTE[i])
            axes.axhline(1, color=INK, lw=0.8)
            ticks = [f"{point.length}\nbatch {point.batch}" for point in own]
            axes.set_xticks(range(len(own)), ticks, fontsize=7)
            axes.set(ylabel="over GPU", title=case, ylim=(0, most * 1.08))
            axes.grid(visible=False, axis="x")
        first = np.atleast_1d(panels)[0]
        first.legend(ncols=len(ratios), loc="lower right", bbox_to_anchor=(1, 1))
        made.suptitle(
            "Tokens/s over the GPU's, simulated; mean length of prompts and outputs",
            x=0.01, ha="left", fontweight="bold", fontsize=10,
        )  # fmt: skip
    return made


def split(
    tokens: Sequence[int],
    seconds: Mapping[str, Sequence[float]],
    on_pim: Mapping[str, Sequence[float]],
) -> Figure:
    """A layer's seconds against a step's tokens, and the share of the work that the PIM does."""
    with figure(9.2, 3.5, ncols=2) as (made, (left, right)):
        for i, (name, values) in enumerate(seconds.items()):
            left.plot(
                tokens, np.array(values) * 1e6, label=name, color=PALETTE[i], marker="o", ms=3
            )
            if any(on_pim[name]):
                right.plot(
                    tokens, 100 * np.array(on_pim[name]), color=PALETTE[i], marker="o", ms=3,
                    label=name,
                )  # fmt: skip
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(tokens, [str(n) for n in tokens], fontsize=7)
            axes.minorticks_off()
            axes.set_xlabel("tokens of a step")
            axes.legend()
        left.set(yscale="log", ylabel="us, one layer's experts")
        left.set_yticks(TICKS_US, [str(us) for us in TICKS_US])
        left.set_yticks([], minor=True)
        most = max(map(max, seconds.values())) * 1e6
        left.set_ylim(min(map(min, seconds.values())) * 0.9e6, most * 1.1)
        right.set(ylabel="% of the assignments on the PIM", ylim=(-3, 103))
        made.suptitle(
            "One layer of Mixtral on one of four devices, simulated",
            x=0.01, ha="left", fontweight="bold", fontsize=10,
        )  # fmt: skip
    return made
