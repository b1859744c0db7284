"""RoutingTrace: which experts each token met at each MoE layer."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .counts import RoutingCounts

NOTHING = "is all zero: nothing was recorded (a known fault of some engines)"


class RoutingTrace(msgspec.Struct, frozen=True, kw_only=True):
    """Token-level routing in order of recording; the tokens of one request are in order.

    expert_ids: int16 `[tokens, moe_layers, top_k]`, -1 where a token took fewer experts.
    layers: the absolute number of each MoE layer. experts: logical experts per layer.
    weights: float32 like expert_ids, what each expert's output is scaled by. request_id, position,
    token_id, domain, source_rank: `[tokens]`; is_decode: bool `[tokens]`. Absent columns are None.
    domain_names: what the numbers in `domain` mean, where known.
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
    domain_names: tuple[str, ...] = ()
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
        # A token cannot take an expert twice. Readers refuse zeros of a single choice as well.
        if high < 0 or (self.top_k > 1 and not ids.any()):
            raise BadInput(NOTHING, key="expert_ids")
        for name in COLUMNS:
            column = getattr(self, name)
            wanted = ids.shape if name == "weights" else ids.shape[:1]
            if column is not None and column.shape != wanted:
                raise BadInput(f"must have the shape {wanted}, has {column.shape}", key=name)
        if self.weights is not None and not np.isfinite(self.weights).all():
            raise BadInput("must be finite", key="weights")
        if self.position is not None and self.position.min() < 0:
            raise BadInput("must not be negative", key="position", value=int(self.position.min()))

    @property
    def tokens(self) -> int:
        return int(self.expert_ids.shape[0])

    @property
    def top_k(self) -> int:
        return int(self.expert_ids.shape[2])

    def counts(self, windows: int = 1) -> RoutingCounts:
        """Assignments per expert in `windows` runs of tokens of about equal length."""
        if not 1 <= windows <= self.tokens:
            raise BadInput(f"must lie between 1 and {self.tokens}", key="windows", value=windows)
        bounds = np.linspace(0, self.tokens, windows + 1).astype(np.int64)
        window = np.repeat(np.arange(windows), np.diff(bounds))
        loads = count_experts(self.expert_ids, self.experts, window, windows)
        return RoutingCounts(
            loads=loads.astype(np.float64),
            layers=self.layers,
            tokens=np.diff(bounds).astype(np.float64),
            source=self.source,
        )

    def select(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> RoutingTrace:
        """The tokens for which `keep` holds (a mask or indices)."""
        columns = {
            name: column[keep]
            for name in ("expert_ids", *COLUMNS)
            if (column := getattr(self, name)) is not None
        }
        return msgspec.structs.replace(self, **columns)


COLUMNS = (
    "weights",
    "request_id",
    "position",
    "is_decode",
    "token_id",
    "domain",
    "source_rank",
)
"""The columns beside `expert_ids`, one row a token."""


def count_experts(
    ids: NDArray[np.int16], experts: int, group: NDArray[np.int64], groups: int
) -> NDArray[np.int64]:
    """Assignments `[groups, layers, experts]` of `ids [tokens, layers, k]` by `group [tokens]`."""
    layers = ids.shape[1]
    # One more expert takes the -1 of tokens that chose fewer; it is cut off at the end.
    row = group[:, None] * layers + np.arange(layers)
    flat = row[:, :, None] * (experts + 1) + np.where(ids < 0, experts, ids)
    counted = np.bincount(flat.ravel(), minlength=groups * layers * (experts + 1))
    return np.asarray(counted.reshape(groups, layers, experts + 1)[:, :, :experts])
