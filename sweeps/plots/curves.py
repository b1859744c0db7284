"""Curves of PIM and brackets of FPGA: seconds against tokens, shared work, latency ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .style import FAINT, INK, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def expert_curves_and_splits(
    tokens: NDArray[np.int64],
    curves: dict[str, NDArray[np.float64]],
    crossover: int | None,
    splits: dict[str, tuple[float, ...]],
    batches: tuple[int, ...],
    titles: tuple[str, str],
) -> Figure:
    """Seconds `[tokens]` of one expert on each unit, with the crossover; beside them the time of a
    layer's experts for each batch under each way of sharing (name -> seconds `[batches]`)."""
    with figure(9.6, 3.9, ncols=2, width_ratios=(1, 1.15)) as (made, (left, right)):
        for name, seconds in curves.items():
            left.plot(tokens, seconds * 1e6, label=name, lw=1.8)
        if crossover is not None:
            left.axvline(crossover, color=INK, lw=1, ls="--")
            left.annotate(
                f"{crossover} tokens", (crossover, 0.02), xycoords=("data", "axes fraction"),
                xytext=(4, 0), textcoords="offset points", fontsize=8,
            )  # fmt: skip
        left.set(
            xscale="log",
            yscale="log",
            xlabel="tokens of the expert",
            ylabel="us (bound)",
            title=titles[0],
        )
        left.legend(loc="upper left")
        for i, (name, made_s) in enumerate(splits.items()):
            right.plot(batches, np.array(made_s) * 1e6, "o-", ms=4, color=PALETTE[i], label=name)
        right.set(
            xscale="log",
            yscale="log",
            xlabel="tokens in the batch",
            ylabel="us for the layer's experts",
            title=titles[1],
        )
        right.set_xticks(batches, [str(batch) for batch in batches])
        right.minorticks_off()
        right.legend(loc="upper left")
    return made


def latency_brackets(
    rows: list[tuple[str, float, float]],
    simulated: list[float | None],
    boards: list[float | None],
    title: str,
) -> Figure:
    """For each (name, full overlap, no overlap) in seconds a bar from one to the other, the latency
    cycle by cycle, and what a board measured, where there are such."""
    with figure(9.6, 1.4 + 0.5 * len(rows)) as (made, axes):
        low = np.array([row[1] for row in rows]) * 1e3
        high = np.array([row[2] for row in rows]) * 1e3
        y = np.arange(len(rows))
        axes.barh(
            y, high - low, left=low, height=0.5, color=PALETTE[5],
            label="closed form: full overlap to no overlap",
        )  # fmt: skip
        for i in range(len(rows)):
            for value in (low[i], high[i]):
                axes.annotate(
                    f"{value:.1f}", (value, i - 0.26), xytext=(0, 1), textcoords="offset points",
                    ha="center", va="bottom", fontsize=7, color=INK,
                )  # fmt: skip
        most = high.max()
        for values, marker, colour, label in (
            (simulated, "o", PALETTE[0], "simulated, cycle by cycle"),
            (boards, "D", PALETTE[1], "board, measured-published"),
        ):
            known = [(value * 1e3, i) for i, value in enumerate(values) if value is not None]
            if known:
                x, at = zip(*known, strict=True)
                most = max(most, *x)
                axes.scatter(
                    x, at, marker=marker, s=34, color=colour, edgecolor="white", zorder=3,
                    label=label,
                )  # fmt: skip
        axes.set_yticks(y, [row[0] for row in rows])
        axes.invert_yaxis()
        axes.set(xlim=(0, most * 1.12), xlabel="ms for one image", title=title)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_color(FAINT)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.06), ncols=3)
    return made
