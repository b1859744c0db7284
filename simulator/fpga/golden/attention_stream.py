"""Streaming attention of one head: int8 rows, powers of two for the exponential, one division."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ....base import BadInput, Count, Natural
from .block import LATENCY, Block, Streams, beats, int8, shallow_or
from .power import power


class AttentionStream(Block, frozen=True, kw_only=True):
    """tokens: queries, and keys. beats: of four lanes a row. queries: at once, at most `tokens`.
    shift: of a score's distance from the maximum, to sixteenths of a power of two."""

    top: ClassVar[str] = "attention_stream"
    sources: ClassVar[tuple[str, ...]] = ("q", "k", "v")
    sinks: ClassVar[tuple[str, ...]] = ("out",)
    fifos: ClassVar[tuple[str, ...]] = ("q", "k", "v", "scores", "row_max", "out")
    most: ClassVar[Mapping[str, int]] = {
        **{"tokens": 1024, "beats": 16, "queries": 8, "shift": 31},
        **{"qk_latency": LATENCY, "av_latency": LATENCY},
    }
    deepest: ClassVar[Mapping[str, int]] = dict.fromkeys(fifos, 256)

    tokens: Count
    beats: Count
    queries: Count
    qk_latency: Natural = 3
    av_latency: Natural = 5
    shift: Natural = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries > self.tokens:
            raise BadInput(
                f"must be at most the number of tokens, {self.tokens}",
                key="queries",
                value=self.queries,
            )

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> AttentionStream:
        tokens = int(rng.integers(1, 25))
        enough = {"q": 2, "k": 2, "v": 2, "scores": tokens + 3, "row_max": 2, "out": 3}
        return cls(
            tokens=tokens,
            beats=int(rng.integers(1, 9)),
            queries=int(rng.integers(1, min(tokens, 8) + 1)),
            qk_latency=int(rng.integers(0, 9)),
            av_latency=int(rng.integers(0, 9)),
            shift=int(rng.integers(5, 11)),
            depths=shallow_or(rng, enough),
        )

    def sizes(self) -> tuple[int, ...]:
        return (
            *(self.tokens, self.beats, self.queries),
            *(self.qk_latency, self.av_latency, self.shift),
        )

    @property
    def steps(self) -> int:
        """Keys that stream past (Edge-MoE, attention reordering)."""
        rounds, last = divmod(self.tokens - 1, self.queries)
        return self.tokens * (rounds + 1) + last

    def inputs(self, rng: np.random.Generator) -> Streams:
        q, k, v = (int8(rng, self.tokens, self.beats * 4) for _ in self.sources)
        past = np.arange(self.steps) % self.tokens
        return {"q": beats(q), "k": beats(k[past]), "v": beats(v[past])}

    def outputs(self, inputs: Streams) -> Streams:
        size = self.tokens * self.beats
        q, k, v = (
            inputs[name][:size].view(np.int8).reshape(self.tokens, -1).astype(np.int64)
            for name in self.sources
        )
        scores = q @ k.T
        weights = power(scores.max(axis=1, keepdims=True) - scores >> self.shift)
        sums, total = weights @ v, weights.sum(axis=1, keepdims=True)
        return {"out": beats((np.sign(sums) * (np.abs(sums) // total)).astype(np.int8))}
