"""RoutingTrace: which experts each token met at each MoE layer."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .counts import RoutingCounts


class RoutingTrace(msgspec.Struct, frozen=True, kw_only=True):
    """Token-level routing in order of recording; the tokens of one request are in order.

    expert_ids: int16 `[tokens, moe_layers, top_k]`, -1 where a token took fewer experts.
    layers: the absolute number of each MoE layer. experts: logical experts per layer.
    weights: float32 like expert_ids. request_id, position, token_id, domain, source_rank: `[tokens]`;
    is_decode: bool `[tokens]`. Absent columns are None.
    """

    expert_ids: NDArray[np.int16]
    experts: int
    layers: tuple[int, ...]
    weights: NDArray[np.float32] | None = None
    request_id: NDArray[np.int64] | None = None
    position: NDArray[np.int64] | None = None
    is_decode: NDArray[np.bool_] | None = None
    token_id: NDArray[np.int64] | None = None
    domain: NDArray[np.int64] | None = None
    source_rank: NDArray[np.int64] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        ids = self.expert_ids
        if ids.ndim != 3 or 0 in ids.shape:
            raise BadInput(
                f"needs the shape [tokens, layers, top_k], got {ids.shape}", key="expert_ids"
            )
        if ids.dtype != np.int16:
            raise BadInput(f"must be int16, is {ids.dtype}", key="expert_ids")
        if len(self.layers) != ids.shape[1]:
            raise BadInput(
                f"holds {ids.shape[1]} layers but {len(self.layers)} layer numbers",
                key="expert_ids",
            )
        low, high = int(ids.min()), int(ids.max())
        if low < -1 or high >= self.experts:
            raise BadInput(
                f"holds the expert {low if low < -1 else high}; allowed are 0..{self.experts - 1}, "
                "and -1 for none",
                key="expert_ids",
            )
        if not (ids > 0).any() and self.experts > 1:
            raise BadInput(
                "is all zero: nothing was recorded (a known fault of some engines)",
                key="expert_ids",
            )
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is not None and column.shape[0] != ids.shape[0]:
                raise BadInput(f"holds {column.shape[0]} rows for {ids.shape[0]} tokens", key=name)

    @property
    def tokens(self) -> int:
        return int(self.expert_ids.shape[0])

    @property
    def top_k(self) -> int:
        return int(self.expert_ids.shape[2])

    def counts(self, windows: int = 1) -> RoutingCounts:
        """Assignments per expert in `windows` runs of tokens of about equal length."""
        bounds = np.linspace(0, self.tokens, windows + 1).astype(np.int64)
        loads = np.zeros((windows, len(self.layers), self.experts))
        for w in range(windows):
            part = self.expert_ids[bounds[w] : bounds[w + 1]]
            for layer in range(len(self.layers)):
                ids = part[:, layer].ravel()
                loads[w, layer] = np.bincount(ids[ids >= 0], minlength=self.experts)
        return RoutingCounts(
            loads=loads,
            layers=self.layers,
            tokens=np.diff(bounds).astype(np.float64),
            source=self.source,
        )

    def select(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> RoutingTrace:
        """The tokens for which `keep` holds (a mask or indices)."""
        columns = {
            name: column[keep]
            for name in ("expert_ids", *_COLUMNS)
            if (column := getattr(self, name)) is not None
        }
        return msgspec.structs.replace(self, **columns)


_COLUMNS = (
    "weights",
    "request_id",
    "position",
    "is_decode",
    "token_id",
    "domain",
    "source_rank",
)
