"""Unseen shapes: the tile model, its learned correction, and plain boosted trees: same folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...hardware import AnyDevice
from ...measured import Measurements
from .boosted import corrected_s, grow_correction
from .families import FOLDS, families
from .fit import LEAST_ROWS, fit
from .folds import Refit, across_folds, refits, unseen_shapes
from .prediction import Prediction, Tell, scattered, score
from .reference import boosted
from .rows import Rows


class Refitted(NamedTuple):
    """A family and its refits, one for each fold that leaves something of it out."""

    rows: Rows
    refits: list[Refit]


def by_unseen_shapes(
    table: Measurements, device: AnyDevice, seed: int, tell: Tell, models: Sequence[str]
) -> dict[str, Prediction]:
    """Every row predicted by what was learnt without its shape: `models` are keys of UNSEEN.

    The constants are fitted once for all models that build on them.
    """
    known = families(table, device, seed)
    made: list[Refitted] = []
    for rows in known if set(models) - {"boosted"} else ():
        made.append(Refitted(rows, list(refits(rows, seed))))
        tell(score(rows.family, unseen_shapes(*made[-1]), rows.measured_s))
    found = {}
    for name in models:
        if name == "boosted":
            found[name] = boosted(table, known, seed)
        else:
            found[name] = UNSEEN[name](table, made, seed)
        tell(score(name, found[name], table["latency_s"]))
    return found


def _tile(table: Measurements, made: Sequence[Refitted], seed: int) -> Prediction:
    return scattered(len(table), [(one.rows.where, unseen_shapes(*one)) for one in made])


def _corrected(table: Measurements, made: Sequence[Refitted], seed: int) -> Prediction:
    """A fold's correction is grown on what the constants, fitted on the same other folds, miss of
    their own rows; all families together, those with no shape in the fold whole."""
    seconds = np.zeros(len(table))
    learnt = []
    for fold in range(FOLDS):
        present = [(rows, one) for rows, refitted in made for one in refitted if one.fold == fold]
        known = [(rows.take(~one.left_out), one.constants) for rows, one in present if one.seen]
        known += [
            (rows, fit(rows, seed))
            for rows, refitted in made
            if all(one.fold != fold for one in refitted) and len(rows) >= LEAST_ROWS
        ]
        trees = grow_correction(known, seed=seed) if known else None
        here = np.zeros(len(table), bool)
        for rows, one in present:
            left_out = rows.take(one.left_out)
            if trees is None or not one.seen:
                seconds[left_out.where] = left_out.seconds(one.constants)
            else:
                seconds[left_out.where] = corrected_s(left_out, one.constants, trees)
            here[left_out.where] = one.seen
        learnt.append(here)
    return across_folds(seconds, table["latency_s"], learnt)


UNSEEN: dict[str, Callable[[Measurements, Sequence[Refitted], int], Prediction]] = {
    "tile": _tile,
    "tile+trees": _corrected,
}
"""Models built on refitted constants: the tile model, and its learned correction on top."""
