"""Fitting the tile model's constants, and scoring them on shapes that the fit did not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import PRIOR, Constants, Fitted
from ...simulator.gpu.constants import FREE, Family, Packing, Score, Tiling, limits
from .tiled import Rows, families

Floats = NDArray[np.float64]

FOLDS = 5
LEAST_ROWS = 60
"""A family with fewer rows is not fitted: fourteen constants want several rows each."""
SAMPLE = 2500
"""Rows that one fit looks at, drawn from all of its family's."""
TRIAL = 500
"""Rows on which the ways to pick tiles and pack rows are told apart."""
GLITCH = 0.1
"""The error beyond which a row pulls less (soft L1): some recorded rows are off by 4x to 39x."""


def folds(shape: NDArray[np.int64], count: int = FOLDS) -> Iterator[NDArray[np.bool_]]:
    """Masks of the rows left out: every shape with all its splits and loads in one of them."""
    distinct = np.unique(shape)
    for fold in range(min(count, distinct.size)):
        yield np.isin(shape, distinct[fold::count])


def fit(rows: Rows, seed: int = 0) -> Constants:
    """The constants with the least soft-L1 error of log(predicted / measured) on the rows.

    Each way to pick a tile (Triton's rule for Triton kernels only) and to pack rows is tried on a
    few rows; the one that does best is fitted on SAMPLE of them.
    """
    if rows.where.size < LEAST_ROWS:
        raise BadInput(
            f"holds {rows.where.size} rows; at least {LEAST_ROWS} are needed to fit its constants",
            key=rows.family,
        )
    tilings: tuple[Tiling, ...] = ("autotuned",)
    if "triton" in rows.family:
        tilings = ("autotuned", "triton-default")
    packings: tuple[Packing, ...] = ("assigned", "every-slot")
    order = np.random.default_rng(seed).permutation(rows.where.size)
    few, many = (rows.take(np.sort(order[:count])) for count in (TRIAL, SAMPLE))
    trials: list[tuple[float, Tiling, Packing]] = [
        (_fit(few, tiling, packing)[0], tiling, packing)
        for tiling in tilings
        for packing in packings
    ]
    _, tiling, packing = min(trials, key=lambda trial: trial[0])
    return _fit(many, tiling, packing)[1]


def _fit(rows: Rows, tiling: Tiling, packing: Packing) -> tuple[float, Constants]:
    from scipy.optimize import least_squares

    least, most = (np.array(side) for side in zip(*limits(), strict=True))

    def constants(x: Floats) -> Constants:
        values = np.clip(np.exp(x), least, most)
        free = dict(zip(FREE, values.tolist(), strict=True))
        return Constants(tiling=tiling, packing=packing, **free)

    def residual(x: Floats) -> Floats:
        return np.asarray(np.log(rows.seconds(constants(x)) / rows.measured_s))

    start = np.log([getattr(PRIOR, name) for name in FREE])
    within = (np.log(least) - 1e-9, np.log(most) + 1e-9)
    answer = least_squares(
        residual, start, bounds=within, loss="soft_l1", f_scale=GLITCH, max_nfev=60
    )
    return float(answer.cost), constants(answer.x)


def unseen_shapes(rows: Rows, seed: int = 0) -> Floats:
    """Predicted seconds `[rows]`, each by constants fitted on the other folds' shapes.

    A family of one shape, or of too few rows, is predicted by PRIOR: nothing was seen.
    """
    predicted = rows.seconds(PRIOR)
    for left_out in folds(rows.shape):
        kept = rows.take(~left_out)
        if kept.where.size >= LEAST_ROWS:
            predicted[left_out] = rows.take(left_out).seconds(fit(kept, seed))
    return predicted


def calibrate(
    table: Measurements,
    device: AnyDevice,
    *,
    command: str,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Fitted:
    """Constants of every family in the table, each with its errors on unseen shapes.

    tell: called with a line after each family. Families of fewer than LEAST_ROWS rows are left
    out, with a line that says so. Raises BadInput where no family is left.
    """
    made: list[Family] = []
    for rows in families(table, device, seed):
        if rows.where.size < LEAST_ROWS:
            _say(tell, f"{rows.family}: left out, {rows.where.size} rows of {LEAST_ROWS} needed")
            continue
        error = np.abs(unseen_shapes(rows, seed) / rows.measured_s - 1)
        score = Score(
            rows=int(rows.where.size),
            mape=round(float(error.mean()), 4),
            median_ape=round(float(np.median(error)), 4),
        )
        constants = _readable(fit(rows, seed))
        made.append(Family(name=rows.family, constants=constants, unseen_shapes=score))
        _say(
            tell,
            f"{rows.family}: {score.rows} rows, on unseen shapes MAPE {score.mape:.1%}, "
            f"median {score.median_ape:.1%}",
        )
    if not made:
        raise BadInput(f"holds no kernel family of {LEAST_ROWS} rows", key=device.name)
    return Fitted(
        gpu=device.name, data=table.provenance.source, command=command, family=tuple(made)
    )


def _readable(constants: Constants) -> Constants:
    """The constants to four digits: more would claim what a fit cannot know."""
    rounded = {name: float(f"{getattr(constants, name):.4g}") for name in FREE}
    return msgspec.structs.replace(constants, **rounded)


def _say(tell: Callable[[str], None] | None, line: str) -> None:
    if tell is not None:
        tell(line)
