"""Placement: where experts live, how good that is, and how far from the best it can be."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..workload import ExpertMap


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why no placement of one layer has a busiest rank below `bound` tokens.

    layer: its absolute number. kind: 'mean' (the ranks share the total), 'pigeonhole' (`depth` of
    the hottest experts must meet on one rank) or 'search' (a solver's exhausted search; `by` says
    which). The first two are checked from the loads alone; the third only where it is small.
    """

    layer: int
    kind: str
    bound: float
    depth: int = 0
    by: str = ""


class Certificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proofs, one a layer, and the fingerprint of the problem that they speak of."""

    problem: str
    proofs: tuple[Proof, ...]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a Problem.

    scores: the measures of `objective`, worst and mean layer. rank_max and bound: `[moe_layers]`,
    tokens of the busiest rank and what no placement can go below. gap: the worst layer's
    rank_max / bound - 1. proven: every layer reaches its bound.
    """

    expert_map: ExpertMap
    method: str
    scores: dict[str, float]
    rank_max: NDArray[np.float64]
    bound: NDArray[np.float64]
    certificate: Certificate

    @property
    def gap(self) -> float:
        return float((self.rank_max / self.bound).max() - 1)

    @property
    def proven(self) -> bool:
        """True where the bound is met up to the rounding of a sum of doubles."""
        return bool((self.rank_max <= self.bound * (1 + ROUNDING)).all())

    def summary(self) -> dict[str, Any]:
        """Plain numbers for tables and JSON."""
        return {
            "method": self.method,
            **self.scores,
            "gap": max(self.gap, 0.0),
            "proven": self.proven,
            "proven_layers": int((self.rank_max <= self.bound * (1 + ROUNDING)).sum()),
            "layers": len(self.rank_max),
        }


ROUNDING = 1e-9
"""Loads are sums of doubles: two of them count as equal within this share."""
