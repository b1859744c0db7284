"""Problem: the loads to spread, the ranks to spread them over, and what is allowed."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..base.files import content_hash
from ..hardware import System
from ..workload import RoutingCounts, RoutingTrace


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Where shall each expert of each MoE layer live?

    loads: float64 `[moe_layers, experts]`, tokens of each expert. layers: the absolute number of
    each MoE layer. ranks: the size of the expert-parallel group. slots_per_rank: int64 `[ranks]`,
    the experts that each rank holds in every layer. cap: the largest rank load allowed, as a
    multiple of the layer's mean; None allows any. system: the machine whose tiers join the ranks.
    """

    loads: NDArray[np.float64]
    layers: tuple[int, ...]
    ranks: int
    slots_per_rank: NDArray[np.int64]
    cap: float | None = None
    system: System | None = None

    def __post_init__(self) -> None:
        loads, slots = self.loads, self.slots_per_rank
        if loads.ndim != 2 or 0 in loads.shape:
            raise BadInput(f"needs [layers, experts], got the shape {loads.shape}", key="loads")
        if len(self.layers) != loads.shape[0]:
            raise BadInput(
                f"names {len(self.layers)} layers for {loads.shape[0]} rows of loads", key="layers"
            )
        if not np.isfinite(loads).all() or loads.min() < 0:
            raise BadInput("must be finite and not negative", key="loads")
        for layer, row in zip(self.layers, loads, strict=True):
            if not row.any():
                raise BadInput(f"layer {layer} has no load at all: nothing to place", key="loads")
        if slots.shape != (self.ranks,) or slots.min(initial=0) < 0:
            raise BadInput(
                f"needs one count for each of the {self.ranks} ranks", key="slots_per_rank"
            )
        if slots.sum() < self.experts:
            raise BadInput(
                f"{self.experts} experts do not fit in {slots.sum()} slots on {self.ranks} ranks; "
                "give more slots per rank or more ranks",
                key="slots_per_rank",
            )
        if slots.sum() > self.experts:
            raise BadInput(
                f"leaves {slots.sum() - self.experts} of {slots.sum()} slots without an expert; "
                f"this version places each of the {self.experts} experts once: give exactly as "
                "many slots",
                key="slots_per_rank",
            )
        if self.cap is not None and not 1 <= self.cap < float("inf"):
            raise BadInput("must be at least 1 (the mean)", key="cap", value=self.cap)

    @classmethod
    def of(
        cls,
        routing: RoutingCounts | RoutingTrace,
        ranks: int,
        *,
        slots_per_rank: int | None = None,
        cap: float | None = None,
        system: System | None = None,
    ) -> Problem:
        """The problem of a recorded trace or of its counts, summed over its windows.

        Without `slots_per_rank` each expert gets one slot and the ranks hold equal numbers; where
        `ranks` does not divide the experts the first ranks hold one more.
        """
        counts = routing.counts() if isinstance(routing, RoutingTrace) else routing
        if ranks < 1:
            raise BadInput("must be at least 1", key="ranks", value=ranks)
        if ranks > counts.experts:
            raise BadInput(
                f"{ranks} ranks cannot share {counts.experts} experts without copies; use at most "
                f"{counts.experts} ranks",
                key="ranks",
            )
        if slots_per_rank is None:
            slots = np.full(ranks, counts.experts // ranks, np.int64)
            slots[: counts.experts % ranks] += 1
        else:
            slots = np.full(ranks, slots_per_rank, np.int64)
        return cls(
            loads=np.ascontiguousarray(counts.total(), np.float64),
            layers=counts.layers,
            ranks=ranks,
            slots_per_rank=slots,
            cap=cap,
            system=system,
        )

    @property
    def experts(self) -> int:
        return int(self.loads.shape[1])

    @property
    def mean_loads(self) -> NDArray[np.float64]:
        """The mean load of a rank: `[moe_layers]`."""
        return np.asarray(self.loads.sum(axis=1) / self.ranks)

    def fingerprint(self) -> str:
        """A hash of loads and shape: ties a certificate to the routing it was made from."""
        return content_hash(
            np.ascontiguousarray(self.loads, "<f8").tobytes(),
            np.ascontiguousarray(self.slots_per_rank, "<i8").tobytes(),
            repr(self.loads.shape),
        )
