"""Uneven: experts of one layer at a time on units that are not equal, seen in windows of routing.

A rank of `Problem` adds up loads that are the same wherever an expert lives. Here an expert takes
other seconds on each unit, not in proportion to its tokens, and the slowest unit of each window
counts, not that of the sum: so this is a noun of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base import BadInput

Floats = NDArray[np.float64]
Homes = NDArray[np.int64]
"""The group of each expert: `[experts]`, or `[layers, experts]`."""
Curve = Callable[[ArrayLike], Floats]
"""Seconds of one expert against its tokens on one unit."""

MOST_SPACES = 8
"""A window may give its spaces to two units in 2^spaces ways."""


class Uneven(msgspec.Struct, frozen=True, kw_only=True):
    """Which group shall each expert of each layer belong to?

    seconds: `[units, windows, layers, experts]`, of each expert alone on each unit. layers: their
    absolute numbers. slots: `[groups]`, the most experts of each. ways: `[ways, groups]`, the
    units that groups may go to, whole; each window takes the best way. Fixed homes are groups that
    are the units themselves, in one way; spaces of a shared memory go to any unit each time.
    """

    seconds: Floats
    layers: tuple[int, ...]
    slots: NDArray[np.int64]
    ways: NDArray[np.int64]

    def __post_init__(self) -> None:
        seconds = self.seconds
        if seconds.ndim != 4 or 0 in seconds.shape or seconds.shape[2] != len(self.layers):
            raise BadInput(
                f"needs [units, windows, {len(self.layers)} layers, experts], got {seconds.shape}",
                key="seconds",
            )
        if not np.isfinite(seconds).all() or seconds.min() < 0:
            raise BadInput("must be finite and not negative", key="seconds")
        if self.slots.shape != (self.ways.shape[1],) or self.slots.min() < 0:
            raise BadInput("needs a number of experts for each group", key="slots")
        if self.slots.sum() < self.experts:
            raise BadInput(
                f"{self.experts} experts do not fit in {self.slots.sum()} slots", key="slots"
            )

    @classmethod
    def fixed(
        cls,
        loads: Floats,
        layers: tuple[int, ...],
        curves: Sequence[Curve],
        slots: Sequence[int] | None = None,
    ) -> Uneven:
        """Each expert stays with one unit. loads: tokens `[windows, layers, experts]`; curves: the
        units', from that for many tokens to that for few; slots: experts that each holds."""
        if len(curves) < 2:
            raise BadInput("needs at least two units to choose from", key="units")
        seconds = _seconds(loads, curves)
        most = [loads.shape[2]] * len(curves) if slots is None else slots
        if len(most) != len(curves):
            raise BadInput(f"needs one number for each of {len(curves)} units", key="slots")
        units = np.arange(len(curves))[None]
        return cls(seconds=seconds, layers=layers, slots=np.array(most), ways=units)

    @classmethod
    def spaces(
        cls, loads: Floats, layers: tuple[int, ...], xpu: Curve, pim: Curve, spaces: int
    ) -> Uneven:
        """Experts lie in equal memory spaces, each of which goes to the xPU or the PIM whole, anew
        in each window (Duplex, arXiv 2409.01141)."""
        seconds = _seconds(loads, (xpu, pim))
        experts = loads.shape[2]
        if not 2 <= spaces <= MOST_SPACES or experts % spaces:
            raise BadInput(
                f"must divide the {experts} experts, from 2 to {MOST_SPACES}",
                key="spaces",
                value=spaces,
            )
        return cls(
            seconds=seconds,
            layers=layers,
            slots=np.full(spaces, experts // spaces),
            ways=np.arange(2**spaces)[:, None] >> np.arange(spaces) & 1,
        )

    @property
    def experts(self) -> int:
        return int(self.seconds.shape[3])

    @property
    def groups(self) -> int:
        return len(self.slots)

    @property
    def is_fixed(self) -> bool:
        return len(self.ways) == 1

    def sums(self, layer: int, homes: Homes) -> Floats:
        """Seconds of each group on each unit: homes `[..., experts]` -> `[..., units, windows,
        groups]`."""
        of_group = (homes[..., None] == np.arange(self.groups)).astype(np.float64)
        return np.asarray(self.seconds[:, :, layer] @ of_group[..., None, :, :])

    def makespans(self, sums: Floats) -> Floats:
        """The slowest unit in the best way: `[..., units, windows, groups]` -> `[..., windows]`."""
        slowest = np.zeros(())
        for unit in range(len(self.seconds)):
            taken = (self.ways == unit).astype(np.float64)
            slowest = np.maximum(slowest, sums[..., unit, :, :] @ taken.T)
        return np.asarray(slowest.min(axis=-1))

    def expected_s(self, homes: Homes) -> Floats:
        """The mean makespan over windows, `[layers]`, of homes `[layers, experts]`."""
        return np.array([
            self.makespans(self.sums(layer, row)).mean() for layer, row in enumerate(homes)
        ])  # fmt: skip

    def check(self, homes: Homes) -> None:
        """Raises BadInput for homes that do not answer the question."""
        if homes.shape != (len(self.layers), self.experts):
            raise BadInput(f"must be {(len(self.layers), self.experts)}", key="homes")
        if homes.min() < 0 or homes.max() >= self.groups:
            raise BadInput(f"must name groups 0 to {self.groups - 1}", key="homes")
        counts = (homes[..., None] == np.arange(self.groups)).sum(axis=1)
        if (counts > self.slots).any():
            raise BadInput("puts more experts in a group than it has slots", key="homes")


def _seconds(loads: Floats, curves: Sequence[Curve]) -> Floats:
    if loads.ndim != 3 or 0 in loads.shape:
        raise BadInput(f"needs [windows, layers, experts], got {loads.shape}", key="loads")
    return np.stack([curve(loads) for curve in curves])
