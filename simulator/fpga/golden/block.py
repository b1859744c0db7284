"""A block with its sizes: what its Verilog is told, what it is given, what must come out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....base import BadInput, Count, Spec

Streams: TypeAlias = "dict[str, NDArray[np.uint32]]"
"""Tokens by stream, `[tokens, words]`: words of 32 bits, the first in the lowest bits."""


LATENCY = 8
"""Cycles of the longest pipeline."""
DEEPEST = 64
"""Tokens of a FIFO, where nothing else is said."""


class Block(Spec, frozen=True, kw_only=True):
    """One configuration of a block. The sizes and then the depths of `fifos` are the `cfg` words,
    16 bits each, of the Verilog module called `top`, which holds the sizes of `most` and the
    depths of `deepest` (DEEPEST for the others) and none above. Raises BadInput for those."""

    top: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    sinks: ClassVar[tuple[str, ...]]
    fifos: ClassVar[tuple[str, ...]]
    in_words: ClassVar[int] = 1
    out_words: ClassVar[int] = 1
    most: ClassVar[Mapping[str, int]] = {}
    deepest: ClassVar[Mapping[str, int]] = {}

    depths: Mapping[str, Count]

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(self.depths) != set(self.fifos):
            raise BadInput(f"must name every FIFO once: {', '.join(self.fifos)}", key="depths")
        for name, limit in self.most.items():
            _bounded(name, getattr(self, name), limit)
        for name, depth in self.depths.items():
            _bounded(f"depths.{name}", depth, self.deepest.get(name, DEEPEST))

    @classmethod
    @abstractmethod
    def drawn(cls, rng: np.random.Generator) -> Self:
        """A configuration at random, now and then one whose FIFOs are too shallow."""

    @abstractmethod
    def sizes(self) -> Iterable[int]:
        """The cfg words before the depths."""

    @abstractmethod
    def inputs(self, rng: np.random.Generator) -> Streams:
        """Random streams for every source."""

    @abstractmethod
    def outputs(self, inputs: Streams) -> Streams:
        """What comes out of every sink."""

    def cfg(self) -> tuple[int, ...]:
        return (*self.sizes(), *(self.depths[name] for name in self.fifos))


def _bounded(name: str, value: int, limit: int) -> None:
    if value > limit:
        raise BadInput(f"is more than the Verilog holds, {limit}", key=name, value=value)


def shallow_or(rng: np.random.Generator, enough: Mapping[str, int]) -> dict[str, int]:
    """Depths at random: of a few FIFOs anything up to what is enough, of the others a little
    more."""
    return {
        name: int(rng.integers(1, depth + 1) if rng.random() < 0.15 else depth + rng.integers(4))
        for name, depth in enough.items()
    }


def beats(values: NDArray[np.int8]) -> NDArray[np.uint32]:
    """`[..., 4 n]` int8 as beats of four lanes, `[tokens, 1]`."""
    return np.ascontiguousarray(values).view(np.uint32).reshape(-1, 1)


def int8(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    """Every value an int8 has, equally likely."""
    return rng.integers(-128, 128, shape, dtype=np.int8)
