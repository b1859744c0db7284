"""GELU of int16 numbers with 8 fraction bits: ReLU less a table of the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ....base import BadInput, Count, Natural
from .block import LATENCY, Block, Streams, shallow_or

LANES = 4
MIDDLES = (np.arange(64) + 0.5) / 16
DELTA = np.array([round(256 * a * math.erfc(a / math.sqrt(2)) / 2) for a in MIDDLES])
"""ReLU(a) - GELU(a) = a (1 - Phi(a)) in the middle of each sixteenth of [0, 4)."""


class GeluTable(Block, frozen=True, kw_only=True):
    """beats: of four lanes. ports: of the table, 1, 2 or 4."""

    top: ClassVar[str] = "gelu_table"
    sources: ClassVar[tuple[str, ...]] = ("x",)
    sinks: ClassVar[tuple[str, ...]] = ("y",)
    fifos: ClassVar[tuple[str, ...]] = ("x", "y")
    most: ClassVar[Mapping[str, int]] = {"beats": 2**15, "ports": LANES, "latency": LATENCY}
    in_words: ClassVar[int] = 2
    out_words: ClassVar[int] = 2

    beats: Count
    ports: Count
    latency: Natural = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if LANES % self.ports:
            raise BadInput("must be 1, 2 or 4", key="ports", value=self.ports)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> GeluTable:
        return cls(
            beats=int(rng.integers(1, 400)),
            ports=int(rng.choice([1, 2, 4])),
            latency=int(rng.integers(0, 9)),
            depths=shallow_or(rng, {"x": 2, "y": 4}),
        )

    def sizes(self) -> tuple[int, ...]:
        return self.beats, self.ports, self.latency

    def inputs(self, rng: np.random.Generator) -> Streams:
        """Half of the numbers anywhere, half of them where the table is."""
        shape = (self.beats, LANES)
        anywhere = rng.integers(-(2**15), 2**15, shape)
        near = rng.integers(-1200, 1200, shape)
        numbers = np.where(rng.random(shape) < 0.5, anywhere, near)
        return {"x": numbers.astype(np.int16).view(np.uint32)}

    def outputs(self, inputs: Streams) -> Streams:
        x = inputs["x"].view(np.int16).astype(np.int64)
        sixteenths = np.abs(x) >> 4
        delta = np.where(sixteenths < len(DELTA), DELTA[np.minimum(sixteenths, 63)], 0)
        return {"y": (np.maximum(x, 0) - delta).astype(np.int16).view(np.uint32)}
