"""Fitting a kernel model's constants to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...simulator.gpu import AnyConstants, limits
from .fits import remembered
from .rows import Rows

Floats = NDArray[np.float64]

LEAST_ROWS = 60
"""A family with fewer rows is not fitted: up to sixteen constants want several rows each."""
SAMPLE = 2500
"""Rows that one fit looks at, drawn from all of its family's."""
TRIAL = 500
"""Rows on which a family's choices are told apart."""
GLITCH = 0.1
"""The error beyond which a row pulls less (soft L1): some recorded rows are off by 4x to 39x."""
OWN_EFFECT = 0.01
"""The share of a constant's effect that must be its own for a fit to move it."""
POINTS, AROUND, NUDGE = 3, 0.5, 1e-3
"""Where effects are looked at: at so many places, about so many factors e apart, by such a step."""
PULL = 0.3
"""What a constant pays for leaving its start by a factor e: as much as a row that is off by 30%.
Constants that the rows do not show stay where physics put them."""


def prior(rows: Rows) -> AnyConstants:
    """What an unseen kernel of the rows' name is given."""
    return rows.model.starts(rows.family)[0]


def fit(rows: Rows, seed: int = 0) -> AnyConstants:
    """The constants with the least soft-L1 error of log(predicted / measured) on the rows.

    Every start of the family, one for each choice that its kernel may have made, is fitted to a few
    rows; the best goes on with SAMPLE of them. A fit that was made before is remembered.
    """
    if len(rows) < LEAST_ROWS:
        raise BadInput(
            f"holds {len(rows)} rows; at least {LEAST_ROWS} are needed to fit its constants",
            key=rows.family,
        )
    return remembered(rows, seed, lambda: _best_fit(rows, seed))


def _best_fit(rows: Rows, seed: int) -> AnyConstants:
    order = np.random.default_rng(seed).permutation(len(rows))
    few, many = (rows.take(np.sort(order[:count])) for count in (TRIAL, SAMPLE))
    trials = [_fit(few, start) for start in rows.model.starts(rows.family)]
    return _fit(many, min(trials, key=lambda trial: trial[0])[1])[1]


def _fit(rows: Rows, start: AnyConstants) -> tuple[float, AnyConstants]:
    """The cost and the constants reached from `start`; its choices stay as they are."""
    from scipy.optimize import least_squares

    every = limits(type(start))
    few = rows.take(np.arange(0, len(rows), -(-len(rows) // TRIAL)))
    ranges = {name: every[name] for name in told_apart(few, start)}
    least, most = (np.array(side) for side in zip(*ranges.values(), strict=True))

    def constants(x: Floats) -> AnyConstants:
        values = np.clip(np.exp(x), least, most)
        return msgspec.structs.replace(start, **dict(zip(ranges, values.tolist(), strict=True)))

    def residual(x: Floats) -> Floats:
        off = np.log(rows.seconds(constants(x)) / rows.measured_s)
        return np.concatenate([off, PULL * (x - first)])

    within = (np.log(least) - 1e-9, np.log(most) + 1e-9)
    first = np.clip(np.log([getattr(start, name) for name in ranges]), *within)
    answer = least_squares(
        residual, first, bounds=within, loss="soft_l1", f_scale=GLITCH, max_nfev=60
    )
    return float(answer.cost), constants(answer.x)


def told_apart(rows: Rows, start: AnyConstants) -> list[str]:
    """The constants that a fit may move: all whose effect on the rows is their own.

    One whose effect is a mix of the effects of those before it stays where physics put it: rows of
    layers without a gate, say, show only the product of their rate and the other shares. derived:
    Gram-Schmidt over the columns of d log(seconds) / d log(constant), at the start and at points
    around it, in the order of the struct.
    """
    names = list(limits(type(start)))
    basis: list[Floats] = []
    kept = []
    for name, effect in zip(names, _effects(rows, start, names), strict=True):
        rest = effect.copy()
        for other in basis:
            rest -= other * (other @ rest)
        size, left = np.linalg.norm(effect), np.linalg.norm(rest)
        if size > 0 and left < OWN_EFFECT * size:
            continue
        kept.append(name)
        if left > 0:
            basis.append(rest / left)
    return kept


def _effects(rows: Rows, start: AnyConstants, names: Sequence[str]) -> Iterator[Floats]:
    """d log(seconds) / d log(constant) of each constant, at POINTS places: `[POINTS * rows]`."""
    ranges = limits(type(start))
    draw = np.random.default_rng(0)
    first = np.array([getattr(start, name) for name in ranges])
    least, most = (np.array(side) for side in zip(*ranges.values(), strict=True))
    around = np.exp(draw.normal(0, AROUND, (POINTS - 1, first.size)))
    places = np.clip(np.vstack([first, first * around]), least * 1.01, most / 1.01)

    def log_s(place: Floats) -> Floats:
        values = dict(zip(ranges, place.tolist(), strict=True))
        return np.log(rows.seconds(msgspec.structs.replace(start, **values)))

    for name in names:
        step = np.ones(first.size)
        step[list(ranges).index(name)] = np.exp(NUDGE)
        yield np.concatenate([log_s(at * step) - log_s(at / step) for at in places]) / (2 * NUDGE)
