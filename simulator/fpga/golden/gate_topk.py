"""The gate of an MoE layer: each token's k best experts and their shares, in queues by expert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....base import Count, Natural
from .block import LATENCY, Block, Streams, beats, int8, shallow_or
from .power import power

EXPERTS = 4


class GateTopk(Block, frozen=True, kw_only=True):
    """beats: of four lanes a row. interval: cycles an expert of the softmax's sum."""

    top: ClassVar[str] = "gate_topk"
    sources: ClassVar[tuple[str, ...]] = ("w", "x")
    sinks: ClassVar[tuple[str, ...]] = tuple(f"queue {e}" for e in range(EXPERTS))
    fifos: ClassVar[tuple[str, ...]] = ("w", "x", "routes", "queue")
    most: ClassVar[Mapping[str, int]] = {
        **{"tokens": 2**15, "beats": 16, "top_k": EXPERTS, "shift": 31, "interval": 64},
        **{"gate_latency": LATENCY, "route_latency": LATENCY},
    }

    tokens: Count
    beats: Count
    top_k: Count
    shift: Natural = 9
    interval: Count = 3
    gate_latency: Natural = 8
    route_latency: Natural = 1

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> GateTopk:
        return cls(
            tokens=int(rng.integers(1, 41)),
            beats=int(rng.integers(1, 17)),
            top_k=int(rng.integers(1, EXPERTS + 1)),
            shift=int(rng.integers(7, 12)),
            interval=int(rng.integers(1, 5)),
            gate_latency=int(rng.integers(0, 9)),
            route_latency=int(rng.integers(0, 9)),
            depths=shallow_or(rng, {"w": 2, "x": 2, "routes": 2, "queue": 4}),
        )

    def sizes(self) -> tuple[int, ...]:
        return (
            *(self.tokens, self.beats, self.top_k, self.shift, self.interval),
            *(self.gate_latency, self.route_latency),
        )

    def inputs(self, rng: np.random.Generator) -> Streams:
        """In half of the draws experts share weights: their scores are equal."""
        width = self.beats * 4
        w = int8(rng, EXPERTS, width)
        if rng.random() < 0.5:
            w = w[rng.integers(EXPERTS, size=EXPERTS)]
        return {"w": beats(w), "x": beats(int8(rng, self.tokens, width))}

    def chosen(self, inputs: Streams) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Experts and 256 times their shares, `[tokens, top_k]`, the largest first, of equal ones
        the first."""
        w, x = (
            inputs[name].view(np.int8).reshape(-1, self.beats * 4).astype(np.int64)
            for name in self.sources
        )
        scores = x @ w.T
        weights = power(scores.max(axis=1, keepdims=True) - scores >> self.shift)
        shares = (weights << 8) // weights.sum(axis=1, keepdims=True)
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]
        return order, np.take_along_axis(shares, order, axis=1)

    def outputs(self, inputs: Streams) -> Streams:
        experts, shares = self.chosen(inputs)
        entries = np.arange(self.tokens)[:, None] << 16 | shares
        return {
            name: entries[experts == e].astype(np.uint32).reshape(-1, 1)
            for e, name in enumerate(self.sinks)
        }
