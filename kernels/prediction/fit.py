"""The constants of the grouped GEMM's model from a survey, and how well they do on unseen parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, NonNegative, Spec
from ...base.spec import load
from ...hardware import AnyDevice
from ...simulator.gpu import Machine, limits
from .counts import Array
from .grouped import GroupedConstants, predict
from .surveys import Survey

LOSS_SCALE = 0.1
"""Errors beyond a tenth count less than by their square: a few configurations do what no term here
stands for."""
LEAST_ROWS = 200
INSIDE = (0.1, 0.9)

START = GroupedConstants(
    mma=6, issue=1, wavefront=1, copy=800, barrier=60, slice_alone=40, chain=8,
    start=1500, turn=1500, spilled=1, local=1, port=0.8, memory_64_alone=0.9, memory_64_ahead=0.9,
    memory_128=0.9, memory_256=0.9, idle=0.5, queues=3, warps=3, memory=4, split_s=3e-6,
)  # fmt: skip
"""Where a fit begins: round figures of the same size as those of microbenchmarks (from memory)."""


class PartScore(Spec, frozen=True, kw_only=True):
    """On a part that was left out of the fit: mean and median absolute relative error, rank
    correlation, and the share of the best time that the best of the first 1, 5 and 20 by
    prediction reaches."""

    part: str
    rows: int
    mape: NonNegative
    median_ape: NonNegative
    spearman: float
    first: NonNegative
    first_5: NonNegative
    first_20: NonNegative


class Fit(Spec, frozen=True, kw_only=True):
    """low, high: factors of a prediction between which 80% of the measurements of unseen parts lay.
    data and command: what it was fitted on and by."""

    gpu: str
    data: str
    command: str
    low: NonNegative
    high: NonNegative
    constants: GroupedConstants
    unseen: tuple[PartScore, ...] = ()


FOLDER = Path(__file__).parent / "constants"


def shipped(gpu: str) -> Fit:
    """The reviewed constants of a GPU, or where none were fitted for it those of the H100."""
    file = FOLDER / f"{gpu}.toml"
    return load(Fit, file if file.is_file() else FOLDER / "h100-sxm.toml")


def fit(survey: Survey, device: AnyDevice, command: str) -> Iterator[tuple[Fit, Array] | str]:
    """Fits all parts, then all but each in turn: that is what the scores are of. Yields a word on
    what is being done, and at last the fit, and the seconds `[rows]` of each part as predicted
    without it. Raises BadInput for a survey with too few rows."""
    good = np.flatnonzero(np.isfinite(survey.seconds))
    if len(good) < LEAST_ROWS:
        raise BadInput(f"holds {len(good)} measurements; {LEAST_ROWS} are needed to fit constants")
    machine = Machine.of(device, "bf16")
    yield f"fitting {len(good)} measurements"
    everything = constants_of(survey, machine, good)
    seconds, scores = seconds_of(survey, machine, everything, np.arange(len(survey.part))), []
    places = sorted({int(survey.part[row]) for row in good})
    for place in places if len(places) > 1 else []:
        yield f"fitting without {survey.parts[place].name}"
        mine = survey.part[good] == place
        known = constants_of(survey, machine, good[~mine], everything)
        rows = good[mine]
        seconds[rows] = seconds_of(survey, machine, known, rows)
        scores.append(score(survey.parts[place].name, seconds[rows], survey.seconds[rows]))
    low, high = np.quantile(survey.seconds[good] / seconds[good], INSIDE)
    found = Fit(
        gpu=survey.gpu,
        data=f"{len(good)} measurements, {', '.join(f'{k} {v}' for k, v in _origin(survey))}",
        command=command,
        low=round(float(low), 4),
        high=round(float(high), 4),
        constants=everything,
        unseen=tuple(scores),
    )
    yield found, seconds


def constants_of(
    survey: Survey,
    machine: Machine,
    rows: NDArray[np.int64],
    start: GroupedConstants = START,
) -> GroupedConstants:
    """Least squares on the logarithm of the time, each constant within its limits."""
    from scipy.optimize import least_squares

    ranges = limits(GroupedConstants)
    low, high = np.log(np.array(list(ranges.values()))).T
    begin = np.log([getattr(start, name) for name in ranges])
    measured = np.log(survey.seconds)

    def residuals(point: Array) -> Array:
        constants = _constants(ranges, point)
        return np.log(seconds_of(survey, machine, constants, rows)) - measured[rows]

    found = least_squares(
        residuals,
        np.clip(begin, low + 1e-6, high - 1e-6),
        bounds=(low, high),
        loss="soft_l1",
        f_scale=LOSS_SCALE,
        xtol=1e-5,
        ftol=1e-5,
    )
    rounded = [float(f"{value:.5g}") for value in np.exp(found.x)]
    return GroupedConstants(**dict(zip(ranges, rounded, strict=True)))


def seconds_of(
    survey: Survey, machine: Machine, constants: GroupedConstants, rows: NDArray[np.int64]
) -> Array:
    """Predicted, for these rows of a survey in their order."""
    seconds = np.empty(len(rows))
    for place in np.unique(survey.part[rows]):
        mine = survey.part[rows] == place
        shape = survey.parts[place].shape
        counts = survey.counts.take(rows[mine])
        seconds[mine] = predict(counts, shape, machine, constants).seconds
    return seconds


def score(name: str, predicted: Array, measured: Array) -> PartScore:
    from scipy.stats import spearmanr

    error = np.abs(predicted / measured - 1)
    order = np.argsort(predicted, kind="stable")

    def first(count: int) -> float:
        return round(float(measured.min() / measured[order[:count]].min()), 4)

    return PartScore(
        part=name,
        rows=len(measured),
        mape=round(float(error.mean()), 4),
        median_ape=round(float(np.median(error)), 4),
        spearman=round(float(np.asarray(spearmanr(predicted, measured))[0]), 4),
        first=first(1),
        first_5=first(5),
        first_20=first(20),
    )


def _constants(names: Mapping[str, tuple[float, float]], point: Array) -> GroupedConstants:
    return GroupedConstants(**dict(zip(names, np.exp(point).tolist(), strict=True)))


def _origin(survey: Survey) -> Iterator[tuple[str, str]]:
    return (
        (key, survey.about[key]) for key in ("device", "compiler", "date") if key in survey.about
    )
