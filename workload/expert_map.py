"""ExpertMap: which copy of which expert lives on which rank."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput


class ExpertMap(msgspec.Struct, frozen=True, kw_only=True):
    """Physical slots of experts on the ranks of an expert-parallel group.

    slots: int32 `[moe_layers, physical]`, the logical expert that each slot holds; every expert
    holds at least one slot in each layer, more when it is replicated.
    ranks: int32 `[physical]`, the rank (0 .. ep-1) of each slot.
    layers: the absolute number of each MoE layer. experts: the number of logical experts.
    """

    slots: NDArray[np.int32]
    ranks: NDArray[np.int32]
    layers: tuple[int, ...]
    experts: int

    def __post_init__(self) -> None:
        slots, ranks = self.slots, self.ranks
        if slots.ndim != 2 or ranks.ndim != 1 or slots.shape[1] != ranks.shape[0]:
            raise BadInput(
                f"needs slots [layers, physical] and ranks [physical], got {slots.shape} and "
                f"{ranks.shape}",
                key="expert map",
            )
        if len(self.layers) != slots.shape[0]:
            raise BadInput(
                f"names {len(self.layers)} layers for {slots.shape[0]} rows", key="expert map"
            )
        if slots.size and (slots.min() < 0 or slots.max() >= self.experts):
            raise BadInput(f"holds an expert outside 0..{self.experts - 1}", key="expert map")
        if ranks.size and ranks.min() < 0:
            raise BadInput("holds a negative rank", key="expert map")
        if self.copies().min(initial=1) < 1:
            layer, expert = np.argwhere(self.copies() < 1)[0]
            raise BadInput(
                f"gives expert {expert} of layer {self.layers[layer]} no slot", key="expert map"
            )

    @property
    def devices(self) -> int:
        """The number of ranks."""
        return int(self.ranks.max(initial=-1)) + 1

    def copies(self) -> NDArray[np.int64]:
        """Slots of each expert: `[moe_layers, experts]`."""
        counts = np.zeros((self.slots.shape[0], self.experts), np.int64)
        np.add.at(counts, (np.arange(self.slots.shape[0])[:, None], self.slots), 1)
        return counts

    def rank_loads(self, loads: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tokens that reach each rank, `[moe_layers, ranks]`, from `loads [moe_layers, experts]`.

        The tokens of a replicated expert are dealt evenly to its slots.
        """
        rows = np.arange(self.slots.shape[0])[:, None]
        per_slot = (loads / self.copies())[rows, self.slots]
        out = np.zeros((self.slots.shape[0], self.devices))
        np.add.at(out, (rows, self.ranks[None, :]), per_slot)
        return out


def contiguous(experts: int, ranks: int, layers: Sequence[int]) -> ExpertMap:
    """Experts in order, an equal run on each rank: what engines do by default.

    When `ranks` does not divide `experts` the first ranks hold one more.
    """
    if not 1 <= ranks <= experts:
        raise BadInput(f"must lie between 1 and the {experts} experts", key="ranks", value=ranks)
    each, more = divmod(experts, ranks)
    homes = np.repeat(np.arange(ranks), [each + (rank < more) for rank in range(ranks)])
    return ExpertMap(
        slots=np.tile(np.arange(experts, dtype=np.int32), (len(layers), 1)),
        ranks=homes.astype(np.int32),
        layers=tuple(layers),
        experts=experts,
    )
