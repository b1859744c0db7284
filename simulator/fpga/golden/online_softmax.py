"""Softmax of rows of scores in one pass, powers of two for the exponential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....base import Count, Natural
from .block import LATENCY, Block, Streams, shallow_or
from .power import power


class OnlineSoftmax(Block, frozen=True, kw_only=True):
    """rows of `width` scores. shift: of a distance from the maximum, to sixteenths of a power of
    two. interval: cycles a score, of each of the two processes."""

    top: ClassVar[str] = "online_softmax"
    sources: ClassVar[tuple[str, ...]] = ("x",)
    sinks: ClassVar[tuple[str, ...]] = ("y",)
    fifos: ClassVar[tuple[str, ...]] = ("x", "kept", "stats", "y")
    most: ClassVar[Mapping[str, int]] = {
        **{"rows": 2**15, "width": 1024, "shift": 31, "scan_interval": 64, "norm_interval": 64},
        **{"scan_latency": LATENCY, "norm_latency": LATENCY},
    }

    rows: Count
    width: Count
    shift: Natural = 4
    scan_interval: Count = 1
    norm_interval: Count = 1
    scan_latency: Natural = 2
    norm_latency: Natural = 6

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> OnlineSoftmax:
        width = int(rng.integers(1, 33))
        return cls(
            rows=int(rng.integers(1, 13)),
            width=width,
            shift=int(rng.integers(0, 6)),
            scan_interval=int(rng.integers(1, 5)),
            norm_interval=int(rng.integers(1, 5)),
            scan_latency=int(rng.integers(0, 9)),
            norm_latency=int(rng.integers(0, 9)),
            depths=shallow_or(rng, {"x": 2, "kept": width, "stats": 1, "y": 3}),
        )

    def sizes(self) -> tuple[int, ...]:
        return (
            *(self.rows, self.width, self.shift, self.scan_interval, self.norm_interval),
            *(self.scan_latency, self.norm_latency),
        )

    def inputs(self, rng: np.random.Generator) -> Streams:
        scores = rng.integers(-4000, 4000, (self.rows * self.width, 1), dtype=np.int32)
        return {"x": scores.view(np.uint32)}

    def outputs(self, inputs: Streams) -> Streams:
        rows = inputs["x"].view(np.int32).astype(np.int64).reshape(self.rows, self.width)
        shares = [self._shares(row) for row in rows]
        return {"y": np.concatenate(shares).astype(np.uint32).reshape(-1, 1)}

    def _shares(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """256 times each score's share; the sum is rescaled, and rounded, at each new maximum."""
        tops = np.maximum.accumulate(row)
        total = 0
        for score, top, before in zip(row, tops, np.roll(tops, 1), strict=True):
            rescale = power(np.maximum(top - before, 0) >> self.shift)
            total = int((total * rescale >> 8) + power(top - score >> self.shift))
        shares: NDArray[np.int64] = (power(tops[-1] - row >> self.shift) << 8) // total
        return shares
