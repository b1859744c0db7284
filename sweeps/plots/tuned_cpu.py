"""The experts' kernel on this CPU: predicted against measured over a whole space, and what tuning
won over the default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from .style import FAINT, INK, PALETTE, diagonal, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("as shipped, 1 thread", "as shipped, all threads", "panels, 1 thread", "panels, all")


class MeasuredSpace(msgspec.Struct, frozen=True, kw_only=True):
    """A space of which each configuration was measured and predicted.

    measured_s, predicted_s `[configs]`; in_panels, threaded `[configs]`: how its weights lie, and
    whether it has more than one thread. fitted `[configs]`: those that the model has seen, left out
    of the errors. default: the row of the default. bound_s: what the peaks of this machine allow.
    """

    about: str
    measured_s: NDArray[np.float64]
    predicted_s: NDArray[np.float64]
    in_panels: NDArray[np.bool_]
    threaded: NDArray[np.bool_]
    fitted: NDArray[np.bool_]
    default: int
    bound_s: float

    def errors(self) -> dict[str, float]:
        """Mean and median of the absolute relative error, and Spearman's rank correlation, of the
        configurations that the model has not seen."""
        measured, predicted = self.measured_s[~self.fitted], self.predicted_s[~self.fitted]
        off = np.abs(predicted / measured - 1)
        ranks = np.array([np.argsort(np.argsort(s)) for s in (measured, predicted)], np.float64)
        apart = ranks - ranks.mean(axis=1, keepdims=True)
        return {
            "MAPE": float(off.mean()),
            "median": float(np.median(off)),
            "Spearman": float((apart[0] @ apart[1]) / (apart[0] @ apart[0])),
        }


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """speedups: of the winner over the default, one for each seed, by alternating the two."""

    name: str
    speedups: tuple[float, ...]


def predicted_and_gains(space: MeasuredSpace, gains: Sequence[Gain]) -> Figure:
    """Left the whole space, right each seed's speed-up over the default."""
    with figure(9.6, 4.6, ncols=2, width_ratios=(3, 2)) as (made, (left, right)):
        _scatter(left, space)
        _gains(right, gains)
    return made


def _scatter(axes: Axes, space: MeasuredSpace) -> None:
    measured, predicted = space.measured_s * 1e3, space.predicted_s * 1e3
    low = 0.8 * min(space.bound_s * 1e3, predicted.min(), measured.min())
    diagonal(axes, low, 1.25 * max(measured.max(), predicted.max()), 0.2)
    for i, name in enumerate(KINDS):
        kept = (space.in_panels == (i > 1)) & (space.threaded == (i % 2 == 1))
        axes.scatter(
            measured[kept], predicted[kept], s=7, lw=0, alpha=0.5, color=PALETTE[i], label=name,
            rasterized=True,
        )  # fmt: skip
    best = int(np.argmin(measured))
    for row, mark, name in ((space.default, "s", "default"), (best, "*", "best measured")):
        size = 40 if mark == "s" else 110
        axes.scatter(measured[row], predicted[row], s=size, marker=mark, color=INK, label=name)
    axes.axvline(space.bound_s * 1e3, color=FAINT, ls="--", lw=1, label="roofline (bound)")
    errors = space.errors()
    axes.set(
        xlabel="measured, ms (measured-here)",
        ylabel="predicted, ms (simulated)",
        title=f"{space.about}\n{len(measured)} configurations, MAPE {errors['MAPE']:.1%}, "
        f"median {errors['median']:.1%}, Spearman {errors['Spearman']:.2f}",
    )
    axes.legend(loc="upper left", fontsize=7, markerscale=1.2)


def _gains(axes: Axes, gains: Sequence[Gain]) -> None:
    for y, gain in enumerate(gains):
        axes.scatter(
            gain.speedups, np.full(len(gain.speedups), y), s=18, color=PALETTE[0], zorder=3
        )
        axes.scatter(np.median(gain.speedups), y, marker="|", s=220, color=INK, zorder=4)
    axes.axvline(1, color=INK, lw=1)
    axes.axvline(1.3, color=PALETTE[1], ls="--", lw=1, label="1.3 times")
    axes.set_yticks(range(len(gains)), [gain.name for gain in gains], fontsize=7)
    axes.set(
        ylim=(len(gains) - 0.5, -0.5),
        xlabel="times as fast as the default (measured-here)",
        title="Tuned in 30 evaluations, each seed",
    )
    axes.grid(axis="y", visible=False)
    axes.legend()
