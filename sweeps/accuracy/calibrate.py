"""Calibration: the constants of every kernel family of a table, each with its errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import AnyConstants, Fitted, limits
from ...simulator.gpu.fitted import Family, Score
from ...simulator.gpu.trees import Trees
from .boosted import CORRECTION, grow_correction
from .families import families
from .fit import LEAST_ROWS, fit
from .folds import refits, unseen_shapes
from .prediction import spread
from .rows import Rows
from .suspect import Priced, remarks


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
    priced: list[Priced] = []
    for rows in families(table, device, seed):
        if len(rows) < LEAST_ROWS:
            _say(tell, f"{rows.family}: left out, {len(rows)} rows of {LEAST_ROWS} needed")
            continue
        seconds, score = _scored(rows, seed)
        constants = _readable(fit(rows, seed))
        made.append(Family(name=rows.family, constants=constants, unseen_shapes=score))
        priced.append(Priced(rows, seconds))
        _say(tell, _told(rows.family, score))
    if not made:
        raise BadInput(f"holds no kernel family of {LEAST_ROWS} rows", key=device.name)
    for line in remarks(priced, device.name):
        _say(tell, line)
    return Fitted(
        gpu=device.name,
        kind=cast(Any, table.kind),
        data=table.provenance.source,
        command=command,
        family=tuple(made),
    )


def _scored(rows: Rows, seed: int) -> tuple[NDArray[np.float64], Score]:
    """Seconds of each row by what was fitted without its shape, and how far off they are."""
    refitted = list(refits(rows, seed))
    seconds = unseen_shapes(rows, refitted).seconds
    error = np.abs(seconds / rows.measured_s - 1)
    low, high = spread(seconds, rows.measured_s)
    return seconds, Score(
        rows=len(rows),
        prior_rows=sum(int(one.left_out.sum()) for one in refitted if not one.seen),
        mape=round(float(error.mean()), 4),
        median_ape=round(float(np.median(error)), 4),
        low=round(low, 4),
        high=round(high, 4),
    )


def _told(family: str, score: Score) -> str:
    line = f"{family}: {score.rows} rows, on unseen shapes MAPE {score.mape:.1%}"
    line += f", median {score.median_ape:.1%}"
    if score.prior_rows:
        line += f" ({score.prior_rows} of them by the prior: too few other shapes)"
    return line


def correction(table: Measurements, device: AnyDevice, fitted: Fitted, seed: int = 0) -> Trees:
    """The learned correction of constants that were fitted on a table, grown on the same rows.

    Raises BadInput without LightGBM.
    """
    known = {family.name: family.constants for family in fitted.family}
    rows = [one for one in families(table, device, seed) if one.family in known]
    least = 2 * CORRECTION.min_data_in_leaf
    if sum(map(len, rows)) < least:
        raise BadInput(
            f"holds {sum(map(len, rows))} rows; a correction needs at least {least}", key="--trees"
        )
    about = {"gpu": device.name, "kind": table.kind, "data": table.provenance.source}
    return grow_correction([(one, known[one.family]) for one in rows], seed=seed, about=about)


def _readable(constants: AnyConstants) -> AnyConstants:
    """The constants to four digits: more would claim what a fit cannot know."""
    rounded = {name: float(f"{getattr(constants, name):.4g}") for name in limits(type(constants))}
    return msgspec.structs.replace(constants, **rounded)


def _say(tell: Callable[[str], None] | None, line: str) -> None:
    if tell is not None:
        tell(line)
