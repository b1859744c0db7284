"""Our CUDA kernels: predicted against measured, and what tuning is worth from batch to batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...base.evidence import MARKS
from ...kernels.autotune import default_of
from ...kernels.prediction.counts import FREE
from ...kernels.prediction.surveys import Survey
from .style import FAINT, PALETTE, diagonal, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def survey_figure(survey: Survey, predicted: NDArray[np.float64], title: str) -> Figure:
    """predicted: seconds of each row of the survey, with the row's part left out of the fit or from
    another GPU's constants; `title` says which."""
    with figure(11, 4.6, ncols=2, width_ratios=(1, 1.15)) as (made, (left, right)):
        _scatter(left, survey, predicted, title)
        _worth(right, survey, predicted)
    return made


def _scatter(axes: Axes, survey: Survey, predicted: NDArray[np.float64], title: str) -> None:
    measured = survey.seconds * 1e6
    low, high = measured.min() / 1.4, measured.max() * 1.4
    diagonal(axes, low, high, 0.1)
    for colour, model in zip(PALETTE, dict.fromkeys(p.model for p in survey.parts), strict=False):
        mine = np.isin(survey.part, [i for i, p in enumerate(survey.parts) if p.model == model])
        axes.scatter(
            measured[mine], 1e6 * predicted[mine], s=3, alpha=0.3, lw=0, color=colour, label=model,
            rasterized=True,
        )  # fmt: skip
    error = np.abs(predicted / survey.seconds - 1)
    axes.set(
        xlabel=f"measured, us {MARKS['measured-published']}",
        ylabel=f"predicted, us {MARKS['simulated']}",
        title=f"{title}: mean error {error.mean():.1%}, median {np.median(error):.1%}",
    )
    axes.legend(loc="upper left", markerscale=3)


def _worth(axes: Axes, survey: Survey, predicted: NDArray[np.float64]) -> None:
    """For each part, the best time over that of the default, of the first by prediction, and of
    the best of five."""
    order = sorted(range(len(survey.parts)), key=lambda at: _order(survey, at))
    place = np.arange(len(order))
    for colour, (label, choose) in zip(
        PALETTE,
        {
            "one kernel for all": _untuned,
            "first by prediction": lambda s, p, rows: rows[np.argmin(p[rows])],
            "best of 5 by prediction": _first_5,
        }.items(),
        strict=False,
    ):
        shares = []
        for at in order:
            rows = survey.rows_of(at)
            row = choose(survey, predicted, rows)
            shares.append(
                np.nan if row is None else survey.seconds[rows].min() / survey.seconds[row]
            )
        axes.plot(shares, place, "o", color=colour, ms=6, label=label)
    axes.axvline(1, color=FAINT, lw=1)
    axes.set_yticks(place, [survey.parts[at].name.replace(" on one of ", " / ") for at in order])
    axes.tick_params(axis="y", labelsize=7)
    axes.set(
        xlabel=f"share of the fastest configuration's speed {MARKS['measured-published']}",
        title=f"What tuning is worth on {survey.gpu}",
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.13), ncols=3)


def _order(survey: Survey, at: int) -> tuple[str, str, int]:
    part = survey.parts[at]
    return part.product, part.model, -part.tokens


def _first_5(survey: Survey, predicted: NDArray[np.float64], rows: NDArray[np.int64]) -> int:
    first = rows[np.argsort(predicted[rows])[:5]]
    return int(first[np.argmin(survey.seconds[first])])


def _untuned(survey: Survey, _: NDArray[np.float64], rows: NDArray[np.int64]) -> int | None:
    """The default's row; of a survey that has left it out, that of the tile with other stages."""
    wanted = default_of(survey.parts[int(survey.part[rows[0]])])
    for names in (FREE, [name for name in FREE if name != "STAGES"]):
        for row in rows:
            if all(survey.configs[row][name] == wanted[name] for name in names):
                return int(row)
    return None
