"""Slots that sorting must stand: which expert each choice of each token names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown


class SlotsShape(msgspec.Struct, frozen=True):
    """tokens, each with TOP_K slots; spread: `even`, all to `one` expert, `none` to any, or `some`
    to none. pieces: of 16 bytes, in the row of a token."""

    tokens: int
    spread: str = "even"
    pieces: int = 40

    def __post_init__(self) -> None:
        if min(self.tokens, self.pieces) < 1:
            raise BadInput("needs at least one token and one piece of its row")
        if self.spread not in SPREADS:
            raise unknown("spread of slots", self.spread, SPREADS)


def _even(rng: np.random.Generator, slots: int, experts: int) -> NDArray[Any]:
    return rng.integers(0, experts, slots)


def _one(rng: np.random.Generator, slots: int, experts: int) -> NDArray[Any]:
    return np.full(slots, experts - 1)


def _none(rng: np.random.Generator, slots: int, experts: int) -> NDArray[Any]:
    return np.full(slots, -1)


def _some(rng: np.random.Generator, slots: int, experts: int) -> NDArray[Any]:
    # Beside -1, numbers that are no expert's just so, and far off.
    odd = rng.choice([-1, experts, -(2**31), 2**31 - 1], slots)
    return np.where(rng.random(slots) < 0.4, odd, _even(rng, slots, experts))


SPREADS: dict[str, Callable[[np.random.Generator, int, int], NDArray[Any]]] = {
    "even": _even,
    "one": _one,
    "none": _none,
    "some": _some,
}

SHAPES = {
    "tokens-64": SlotsShape(64),
    "one-token": SlotsShape(1),
    "many": SlotsShape(301, pieces=3),
    "to-one": SlotsShape(65, "one", pieces=1),
    "to-none": SlotsShape(33, "none"),
    "some-to-none": SlotsShape(129, "some", pieces=33),
}


def draw(
    rng: np.random.Generator, shape: SlotsShape, top_k: int, experts: int
) -> NDArray[np.int32]:
    """What each slot names, `[tokens * top_k]`: an expert, or a number that is none."""
    return SPREADS[shape.spread](rng, shape.tokens * top_k, experts).astype(np.int32)


def counts_of(ids: NDArray[np.int32], experts: int, block_slots: int) -> NDArray[np.int32]:
    """The slots of each expert in each run of `block_slots`, `[experts, blocks]`."""
    blocks = -(-ids.size // block_slots)
    counts = np.zeros((experts, blocks), np.int32)
    real = (ids >= 0) & (ids < experts)
    np.add.at(counts, (ids[real], np.arange(ids.size)[real] // block_slots), 1)
    return counts


def starts_of(numbers: NDArray[np.int32], axis: int = 0) -> NDArray[np.int32]:
    """The sums of what comes before, and the sum of all at the end."""
    sums = np.cumsum(numbers, axis=axis)
    return np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis).astype(np.int32)
