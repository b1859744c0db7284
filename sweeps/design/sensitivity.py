"""Which knob matters: the share of an objective's variance that each axis explains."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base.parquet import Columns
from .space import Space

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 32
"""Into which an axis with more values is cut, equally many points each."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One axis and one objective. alone: the share of the variance that the axis explains by itself
    (Sobol's first-order index); whole: with all its interactions (the total index), NaN where the
    points are no full grid. best, worst: values of the axis at the best and the worst mean; factor:
    how many times the worst mean is the best, geometric means for positive objectives."""

    axis: str
    objective: str
    alone: float
    whole: float
    best: str
    worst: str
    factor: float


def effects(space: Space, rows: Columns) -> list[Effect]:
    """The effect of each axis on each objective over rows that all have values, largest first.

    Objectives that are words of the space themselves have none. rows: every axis and objective.
    Positive objectives are taken in logarithms, so that shares are of ratios (Saltelli et al.,
    Global Sensitivity Analysis, 2008, sections 4.5-4.6; on a full grid both indices are exact sums,
    but for axes of more than `BINS` values, which are cut; elsewhere the first is a correlation
    ratio).
    """
    levels = {axis.name: _levels(rows[_column(space, axis.name)]) for axis in space.axes}
    asked = space.file.sample is None and space.file.search is None
    full = asked and rows["point"].size == space.size
    found = []
    for name, sense in space.objectives:
        if name in space.words:
            continue
        values = np.asarray(rows[name], np.float64)
        logs = bool((values > 0).all())
        measured = np.log(values) if logs else values
        total = float(measured.var()) if values.size else 0.0
        for axis, (level, shown) in levels.items():
            if len(shown) > 1:
                means = _means(measured, level)
                order = np.argsort(sense * means, kind="stable")
                others = [one for key, (one, _) in levels.items() if key != axis]
                gap = abs(float(means[order[-1]] - means[order[0]]))
                found.append(
                    Effect(
                        axis=axis,
                        objective=name,
                        alone=_explained(measured, level, total),
                        whole=_rest(measured, others, total) if full else np.nan,
                        best=shown[order[0]],
                        worst=shown[order[-1]],
                        factor=float(np.exp(gap)) if logs else np.nan,
                    )
                )
    return sorted(found, key=lambda effect: (effect.objective, -effect.alone))


def _column(space: Space, axis: str) -> str:
    """The column that tells an axis' values apart."""
    one = next(one for one in space.axes if one.name == axis)
    return axis if axis in one.columns or not one.columns else next(iter(one.columns))


def _levels(column: NDArray[np.generic]) -> tuple[Ints, list[str]]:
    """The level of each row, and what the levels are called."""
    values, level = np.unique(column, return_inverse=True)
    if values.size <= BINS or column.dtype == object:
        return level.astype(np.int64), [_called(value) for value in values.tolist()]
    numbers = np.asarray(column, np.float64)
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    level = np.searchsorted(edges, numbers, side="right")
    there, level = np.unique(level, return_inverse=True)
    middle = [float(np.median(numbers[level == one])) for one in range(there.size)]
    return level.astype(np.int64), [f"about {_called(value)}" for value in middle]


def _called(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _means(values: Floats, level: Ints) -> Floats:
    return np.asarray(np.bincount(level, values) / np.bincount(level))


def _explained(values: Floats, level: Ints, total: float) -> float:
    """The variance of the levels' means over that of all values."""
    if total <= 0:
        return 0.0
    return float((_means(values, level)[level]).var() / total)


def _rest(values: Floats, others: list[Ints], total: float) -> float:
    """What all other axes together leave unexplained."""
    code = np.zeros(values.size, np.int64)
    for level in others:
        code = np.unique(code * (int(level.max()) + 1) + level, return_inverse=True)[1]
    return 1.0 - _explained(values, code.astype(np.int64), total) if total > 0 else 0.0
