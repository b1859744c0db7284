"""RoutingCounts: how many tokens each expert got, window by window."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput


class RoutingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Expert loads without tokens: what half of the engines record.

    loads: float64 `[windows, moe_layers, experts]`, assignments per expert in each window.
    layers: the absolute number of each MoE layer (or its ordinal where the file has no numbers).
    tokens: `[windows]` tokens of each window where known.
    transitions: float64 `[pairs, experts, experts]`, tokens from an expert of layer
    `pairs[i][0]` to one of `pairs[i][1]`, where known; pairs need not be adjacent.
    names: the name of each window (a domain, a subject, a step).
    """

    loads: NDArray[np.float64]
    layers: tuple[int, ...]
    tokens: NDArray[np.float64] | None = None
    transitions: NDArray[np.float64] | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        loads = self.loads
        if loads.ndim != 3 or 0 in loads.shape:
            raise BadInput(
                f"needs loads [windows, layers, experts], got the shape {loads.shape}", key="loads"
            )
        if len(self.layers) != loads.shape[1]:
            raise BadInput(
                f"holds {loads.shape[1]} layers but {len(self.layers)} layer numbers", key="loads"
            )
        if not np.isfinite(loads).all() or loads.min() < 0:
            raise BadInput("must be finite and not negative", key="loads")
        if not loads.any():
            raise BadInput("is all zero: nothing was recorded", key="loads")
        if self.tokens is not None and self.tokens.shape != loads.shape[:1]:
            raise BadInput(f"must hold one number for each of {len(loads)} windows", key="tokens")
        if self.names and len(self.names) != len(loads):
            raise BadInput(f"must hold one name for each of {len(loads)} windows", key="names")
        self._check_transitions()

    def _check_transitions(self) -> None:
        wanted = (len(self.pairs), self.experts, self.experts)
        if self.transitions is None:
            if self.pairs:
                raise BadInput("names pairs of layers without transitions", key="pairs")
        elif self.transitions.shape != wanted:
            raise BadInput(
                f"must have the shape {wanted}, got {self.transitions.shape}", key="transitions"
            )
        elif not np.isfinite(self.transitions).all() or (self.transitions < 0).any():
            raise BadInput("must be finite and not negative", key="transitions")

    @property
    def experts(self) -> int:
        return int(self.loads.shape[2])

    def total(self) -> NDArray[np.float64]:
        """Loads summed over windows: `[moe_layers, experts]`."""
        return np.asarray(self.loads.sum(axis=0))
