"""Placement: where experts live, how good that is, and how far from the best it can be."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..workload import ExpertMap

Learnt = Literal["all", "half"]


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why no placement of one layer has a busiest rank below `bound` tokens.

    layer: its absolute number. kind: 'mean' (the ranks share the total), 'pigeonhole' (`depth` of
    the hottest experts must meet on one rank), 'copies' (the heaviest copy lies on some rank) or
    'search' (a solver's exhausted search; `by` says which). All but the last are checked from the
    loads alone; a search only where it is small.
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


class HopProof(msgspec.Struct, frozen=True, kw_only=True):
    """Why no map keeps more than `kept [pairs]` assignments on one run of `group` ranks.

    duals: `[pairs, 2, experts]`, u and v of the b-matching; where that bounds the whole flow the
    rest is None. Else `part`, float32 `[pairs, experts, experts]`, is what it bounds, `load_duals
    [pairs, 2, experts]` what the cap bounds, and the remainder is bounded by its singular values
    (`bounds/split.py`).
    """

    group: int
    kept: NDArray[np.float64]
    duals: NDArray[np.float64]
    part: NDArray[np.float32] | None = None
    load_duals: NDArray[np.float64] | None = None


class HopCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Lower bound on the cost of all hops, in assignments, and why.

    It speaks of maps whose rank loads keep `caps` (over the mean, one a layer; None: any), where a
    hop costs 1 inside a node of `node_ranks` and `node_cost` beyond. proofs: one for ranks and,
    where a hop to another node costs more, one for nodes. exhaustive: the bound was found by trying
    every placement of a small layer; a checker does the same.
    """

    problem: str
    bound: float
    node_ranks: int
    node_cost: float
    caps: tuple[float, ...] | None = None
    proofs: tuple[HopProof, ...] = ()
    exhaustive: bool = False


class Hops(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of all hops as a share of all transitions: reached, bound, and by chance.

    by chance: what these rank loads would give if the next expert did not depend on this one.
    """

    reached: float
    bound: float
    by_chance: float

    @property
    def gap(self) -> float:
        """How far above the bound: without end where hops are left and the bound is none."""
        if self.bound > 0:
            return self.reached / self.bound - 1
        return float("inf") if self.reached > ROUNDING else 0.0

    @property
    def captured(self) -> float:
        """Share of what the bound leaves to gain over chance that was gained."""
        room = self.by_chance - self.bound
        return (self.by_chance - self.reached) / room if room > 0 else 0.0


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a Problem.

    scores: the prices of `objective`. rank_max and bound: `[moe_layers]`, tokens of the busiest
    rank and what no placement can go below. gap: the worst layer's rank_max / bound - 1. proven:
    every layer reaches its bound. hops: None where the problem knows no transitions. interrupted:
    the search was stopped by hand; this is its best so far. notes: what the method wants known.
    learnt: 'half' where every other request (or window of counts) was kept for scoring, else 'all'.
    """

    expert_map: ExpertMap
    method: str
    scores: dict[str, float]
    rank_max: NDArray[np.float64]
    bound: NDArray[np.float64]
    certificate: Certificate
    hops: Hops | None = None
    hop_certificate: HopCertificate | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    learnt: Learnt = "all"

    @property
    def gap(self) -> float:
        with np.errstate(over="ignore"):
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
            **self._hop_summary(),
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def _hop_summary(self) -> dict[str, Any]:
        if self.hops is None:
            return {}
        return {
            "hop_cost": self.hops.reached,
            "hop_bound": self.hops.bound,
            "hop_gap": max(self.hops.gap, 0.0),
            "hop_captured": self.hops.captured,
        }


ROUNDING = 1e-9
"""Loads are sums of doubles: two of them count as equal within this share."""
