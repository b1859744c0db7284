"""Systolic arrays: int8 matrices, int32 sums, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....base import Count, Natural
from .block import LATENCY, Block, Streams, int8, shallow_or

SIDE = 8
"""Lanes of a token: an array's most rows, and columns."""


class SystolicOs(Block, frozen=True, kw_only=True):
    """Output stationary: `tiles` products of a `rows` x `inner` and an `inner` x `columns`
    matrix."""

    top: ClassVar[str] = "systolic_os"
    sources: ClassVar[tuple[str, ...]] = ("a", "b")
    sinks: ClassVar[tuple[str, ...]] = ("c",)
    fifos: ClassVar[tuple[str, ...]] = ("a", "b", "tiles", "c")
    most: ClassVar[Mapping[str, int]] = {
        **{"rows": SIDE, "columns": SIDE, "inner": 2**15, "tiles": 2**15}
    }
    deepest: ClassVar[Mapping[str, int]] = {"tiles": 4}
    in_words: ClassVar[int] = 2
    out_words: ClassVar[int] = SIDE

    rows: Count
    columns: Count
    inner: Count
    tiles: Count

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> SystolicOs:
        sizes = [int(rng.integers(1, most + 1)) for most in (SIDE, SIDE, 40, 12)]
        depths = shallow_or(rng, {"a": 2, "b": 2, "tiles": 1, "c": 1})
        return cls(
            **dict(zip(("rows", "columns", "inner", "tiles"), sizes, strict=True)), depths=depths
        )

    def sizes(self) -> tuple[int, ...]:
        return self.rows, self.columns, self.inner, self.tiles

    def inputs(self, rng: np.random.Generator) -> Streams:
        size = self.tiles * self.inner
        return {
            "a": lanes(int8(rng, size, self.rows)),
            "b": lanes(int8(rng, size, self.columns)),
        }

    def outputs(self, inputs: Streams) -> Streams:
        a, b = (
            rows_of(inputs[name]).reshape(self.tiles, self.inner, SIDE) for name in self.sources
        )
        return {"c": words((a.transpose(0, 2, 1) @ b)[:, : self.rows].reshape(-1, SIDE))}


class SystolicWs(Block, frozen=True, kw_only=True):
    """Weight stationary: `tall` rows of inputs times `inner` x `outer` tiles of weights, the sums
    over the inner ones added up."""

    top: ClassVar[str] = "systolic_ws"
    sources: ClassVar[tuple[str, ...]] = ("w", "x")
    sinks: ClassVar[tuple[str, ...]] = ("c",)
    fifos: ClassVar[tuple[str, ...]] = ("w", "x", "sums", "c")
    most: ClassVar[Mapping[str, int]] = {
        **{"rows": SIDE, "columns": SIDE, "tall": 64, "inner": 128, "outer": 128},
        **{"add_latency": LATENCY},
    }
    in_words: ClassVar[int] = 2
    out_words: ClassVar[int] = SIDE

    rows: Count
    columns: Count
    tall: Count
    inner: Count
    outer: Count
    add_latency: Natural = 1

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> SystolicWs:
        sizes = [int(rng.integers(1, most + 1)) for most in (SIDE, SIDE, 40, 4, 4)]
        return cls(
            **dict(zip(("rows", "columns", "tall", "inner", "outer"), sizes, strict=True)),
            add_latency=int(rng.integers(0, 9)),
            depths=shallow_or(rng, {"w": 2, "x": 2, "sums": 2, "c": 3}),
        )

    def sizes(self) -> tuple[int, ...]:
        return self.rows, self.columns, self.tall, self.inner, self.outer, self.add_latency

    def inputs(self, rng: np.random.Generator) -> Streams:
        tiles = self.outer * self.inner
        return {
            "w": lanes(int8(rng, tiles * self.rows, self.columns)),
            "x": lanes(int8(rng, tiles * self.tall, self.rows)),
        }

    def outputs(self, inputs: Streams) -> Streams:
        tiles = self.outer * self.inner
        w = rows_of(inputs["w"]).reshape(tiles, self.rows, SIDE)[:, ::-1]
        x = rows_of(inputs["x"]).reshape(tiles, self.tall, SIDE)[..., : self.rows]
        sums = (x @ w).reshape(self.outer, self.inner, self.tall, SIDE).sum(axis=1)
        return {"c": words(sums.reshape(-1, SIDE))}


def lanes(values: NDArray[np.int8]) -> NDArray[np.uint32]:
    """`[tokens, n]` int8 as tokens of SIDE lanes, the others zero."""
    padded = np.pad(values, ((0, 0), (0, SIDE - values.shape[1])))
    return np.ascontiguousarray(padded).view(np.uint32)


def rows_of(tokens: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Tokens of SIDE int8 lanes as rows of numbers."""
    return tokens.view(np.int8).astype(np.int64)


def words(values: NDArray[np.int64]) -> NDArray[np.uint32]:
    """int32 results as words."""
    return values.astype(np.int32).view(np.uint32)
