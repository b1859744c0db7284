"""Experts of a layer shared between an xPU and its PIM: who runs which, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .least_makespan import TOLERANCE, WIDTH, least_makespan

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SPACES = 4
"""Bank bundles of a pseudo channel, each a memory space of its own (Duplex, arXiv 2409.01141)."""

MOST_SPACES = 12
"""All 2^spaces shares are tried."""

FEW = 10
"""Experts of which all shares are tried rather than searched."""

BLOCK = 1 << 20
"""Numbers held at once while all shares of spaces are tried."""


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """Which experts run on the PIM, bool `[rows, experts]`, and how long each unit is busy,
    `[rows]`."""

    on_pim: Bools
    xpu_s: Floats
    pim_s: Floats

    @property
    def makespan_s(self) -> Floats:
        return np.maximum(self.xpu_s, self.pim_s)


class Proven(Shares, frozen=True, kw_only=True):
    """bound_s: what no shares of a row can go below, `[rows]`; the makespan where that is least."""

    bound_s: Floats


def one_unit(xpu_s: Floats, pim_s: Floats) -> Shares:
    """A whole row on the faster unit: Duplex without co-processing (arXiv 2409.01141).

    Here and below: seconds of each expert alone on each unit, `[rows, experts]`, 0 where no token
    comes. A unit runs its experts one after the other; the units do not disturb each other.
    """
    _check(xpu_s, pim_s)
    faster = pim_s.sum(axis=1) < xpu_s.sum(axis=1)
    return _shares(np.broadcast_to(faster[:, None], xpu_s.shape), xpu_s, pim_s)


def by_rule(xpu_s: Floats, pim_s: Floats, loads: NDArray[np.generic]) -> Shares:
    """Duplex's rule (arXiv 2409.01141, expert co-processing): start with all experts on the xPU,
    move those with the fewest tokens to the PIM one by one, keep the best max(xPU, PIM).

    loads: tokens `[rows, experts]`. derived: the moves are prefixes of the experts in order of
    load, so two running sums hold every state.
    """
    _check(xpu_s, pim_s)
    if np.shape(loads) != xpu_s.shape:
        raise BadInput(f"needs {xpu_s.shape}, tokens of the same experts", key="loads")
    order = np.argsort(loads, axis=1, kind="stable")
    moved = _running(np.take_along_axis(pim_s, order, axis=1))
    kept = _running(np.take_along_axis(xpu_s, order[:, ::-1], axis=1))[:, ::-1]
    best = np.maximum(moved, kept).argmin(axis=1)
    on_pim = np.empty(xpu_s.shape, np.bool_)
    np.put_along_axis(on_pim, order, np.arange(xpu_s.shape[1]) < best[:, None], axis=1)
    return _shares(on_pim, xpu_s, pim_s)


def by_space(xpu_s: Floats, pim_s: Floats, spaces: int = SPACES) -> Shares:
    """Experts round-robin over the memory spaces, a whole space to one unit so that no bundle has
    to serve both (Duplex, arXiv 2409.01141): the best of all 2^spaces shares."""
    _check(xpu_s, pim_s)
    rows, experts = xpu_s.shape
    if not 1 <= spaces <= MOST_SPACES or experts % spaces:
        raise BadInput(
            f"must divide the {experts} experts and be {MOST_SPACES} at most",
            key="spaces",
            value=spaces,
        )
    xpu, pim = (s.reshape(rows, -1, spaces).sum(axis=1) for s in (xpu_s, pim_s))
    ways = (np.arange(2**spaces)[:, None] >> np.arange(spaces) & 1).astype(np.float64)
    best = np.empty(rows, np.int64)
    for start in range(0, rows, step := max(1, BLOCK // len(ways))):
        part = slice(start, start + step)
        best[part] = np.maximum(xpu[part] @ (1 - ways).T, pim[part] @ ways.T).argmin(axis=1)
    return _shares(np.tile(ways[best] > 0, experts // spaces), xpu_s, pim_s)


def exact(xpu_s: Floats, pim_s: Floats, width: int = WIDTH) -> Proven:
    """The least makespan of each row, by `least_makespan`. A row that needed more than `width`
    states at once is not proven: its `bound_s` lies below its makespan."""
    _check(xpu_s, pim_s)
    if xpu_s.shape[1] <= FEW:
        found = by_space(xpu_s, pim_s, spaces=xpu_s.shape[1])
        return Proven(**msgspec.structs.asdict(found), bound_s=found.makespan_s)
    on_pim, bound_s = np.empty(xpu_s.shape, np.bool_), np.empty(len(xpu_s))
    for row in range(len(xpu_s)):
        on_pim[row], bound_s[row] = least_makespan(xpu_s[row], pim_s[row], width)
    found = _shares(on_pim, xpu_s, pim_s)
    # The bound of a proven row is its makespan, summed in another order.
    proven = bound_s >= found.makespan_s * (1 - TOLERANCE)
    bound_s = np.where(proven, found.makespan_s, bound_s)
    return Proven(**msgspec.structs.asdict(found), bound_s=bound_s)


COPROCESS: dict[str, Callable[[Floats, Floats, NDArray[np.generic]], Shares]] = {
    "one-unit": lambda xpu_s, pim_s, loads: one_unit(xpu_s, pim_s),
    "rule": by_rule,
    "spaces": lambda xpu_s, pim_s, loads: by_space(xpu_s, pim_s),
    "exact": lambda xpu_s, pim_s, loads: exact(xpu_s, pim_s),
}
"""Ways to share: (xpu_s, pim_s, loads) -> Shares."""


def _check(xpu_s: Floats, pim_s: Floats) -> None:
    if xpu_s.ndim != 2 or xpu_s.shape != pim_s.shape or not xpu_s.shape[1]:
        raise BadInput(
            f"needs [rows, experts] on both units, got {xpu_s.shape} and {pim_s.shape}",
            key="seconds",
        )
    for seconds in (xpu_s, pim_s):
        if seconds.size and not (np.isfinite(seconds).all() and seconds.min() >= 0):
            raise BadInput("must be finite and not negative", key="seconds")


def _shares(on_pim: Bools, xpu_s: Floats, pim_s: Floats) -> Shares:
    return Shares(
        on_pim=on_pim,
        xpu_s=np.where(on_pim, 0.0, xpu_s).sum(axis=1),
        pim_s=np.where(on_pim, pim_s, 0.0).sum(axis=1),
    )


def _running(seconds: Floats) -> Floats:
    """Sums of the first 0, 1, ... n of each row: `[rows, n + 1]`."""
    sums = np.zeros((len(seconds), seconds.shape[1] + 1))
    np.cumsum(seconds, axis=1, out=sums[:, 1:])
    return sums
