"""Experts of one layer shared between an xPU and its PIM."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput

Curve = Callable[[ArrayLike], NDArray[np.float64]]
"""Seconds of one expert against its tokens on one unit; no token, no time."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Which experts run on the PIM (bool `[experts]`), and how long each unit is busy."""

    on_pim: NDArray[np.bool_]
    xpu_s: float
    pim_s: float

    @property
    def makespan_s(self) -> float:
        return max(self.xpu_s, self.pim_s)


def split_by_rule(loads: ArrayLike, xpu: Curve, pim: Curve) -> Split:
    """Duplex's rule (arXiv 2409.01141, expert co-processing): start with all experts on the xPU,
    move those with the fewest tokens to the PIM one by one, keep the best max(xPU, PIM).

    loads: tokens `[experts]`. A unit runs its experts one after the other; the two do not disturb
    each other (the paper keeps them on different bundles). derived: the moves are prefixes of the
    experts in order of load, so two running sums hold every state.
    """
    tokens = np.asarray(loads, np.float64)
    if tokens.ndim != 1 or not tokens.size:
        raise BadInput("needs the tokens of one layer's experts, [experts]", key="loads")
    if not np.isfinite(tokens).all() or tokens.min() < 0:
        raise BadInput("must be finite and not negative", key="loads")
    order = np.argsort(tokens, kind="stable")
    moved = np.concatenate([[0.0], np.cumsum(pim(tokens[order]))])
    kept = np.concatenate([np.cumsum(xpu(tokens[order])[::-1])[::-1], [0.0]])
    best = int(np.argmin(np.maximum(moved, kept)))
    on_pim = np.zeros(tokens.size, np.bool_)
    on_pim[order[:best]] = True
    return Split(on_pim=on_pim, xpu_s=float(kept[best]), pim_s=float(moved[best]))
