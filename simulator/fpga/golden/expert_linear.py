"""A linear layer of experts on their queues of tokens: int8 rows and weights, gates of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....base import Count, Natural
from .block import LATENCY, Block, Streams, beats, int8, shallow_or


class ExpertLinear(Block, frozen=True, kw_only=True):
    """tokens: rows. routes: to experts, of all rows. units: rows at once. A tile of weights has
    `reads` beats of a row and `out_beats` beats of results; a row has `in_tiles` and gives
    `out_tiles` of them."""

    top: ClassVar[str] = "expert_linear"
    sources: ClassVar[tuple[str, ...]] = ("x", "routes", "w")
    sinks: ClassVar[tuple[str, ...]] = ("y",)
    fifos: ClassVar[tuple[str, ...]] = (
        *("x", "routes", "w"),
        *("in", "orders", "groups", "weights", "out", "y"),
    )
    out_words: ClassVar[int] = 4
    most: ClassVar[Mapping[str, int]] = {
        **{"tokens": 32, "top_k": 8, "experts": 8, "units": 4},
        **{"reads": 2, "in_tiles": 8, "out_beats": 2, "out_tiles": 4},
        **dict.fromkeys(("dealer_latency", "compute_latency", "writer_latency"), LATENCY),
    }
    deepest: ClassVar[Mapping[str, int]] = {"weights": 2}

    tokens: Count
    top_k: Count
    experts: Count
    units: Count
    reads: Count
    in_tiles: Count
    out_beats: Count
    out_tiles: Count
    dealer_latency: Natural = 1
    compute_latency: Natural = 4
    writer_latency: Natural = 2

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> ExpertLinear:
        experts = int(rng.integers(1, 9))
        units, reads, in_tiles, out_tiles = (int(rng.integers(1, n + 1)) for n in (4, 2, 8, 4))
        # derived: the dealer fills one unit's row before the next unit gets its first beat, and the
        # writer empties one unit's queue before the next.
        enough = {"x": 2, "routes": 2, "w": 4, "in": in_tiles * reads, "orders": 2 * units}
        enough |= {"groups": 2, "weights": 2, "out": out_tiles + 1, "y": 2}
        depths = shallow_or(rng, enough)
        depths |= {"in": max(depths["in"], reads), "weights": min(depths["weights"], 2)}
        return cls(
            tokens=int(rng.integers(1, 25)),
            top_k=int(rng.integers(1, min(experts, 3) + 1)),
            experts=experts,
            units=units,
            reads=reads,
            in_tiles=in_tiles,
            out_beats=int(rng.integers(1, 3)),
            out_tiles=out_tiles,
            dealer_latency=int(rng.integers(0, 9)),
            compute_latency=int(rng.integers(0, 9)),
            writer_latency=int(rng.integers(0, 9)),
            depths=depths,
        )

    def sizes(self) -> tuple[int, ...]:
        return (
            *(self.tokens, self.tokens * self.top_k, self.experts, self.units),
            *(self.reads, self.in_tiles, self.out_beats, self.out_tiles),
            *(self.dealer_latency, self.compute_latency, self.writer_latency),
        )

    def inputs(self, rng: np.random.Generator) -> Streams:
        """Experts are unevenly popular; only those with tokens have weights in the stream."""
        popularity = rng.dirichlet(np.full(self.experts, 0.7)) + 1e-6
        popularity /= popularity.sum()
        chosen = np.concatenate(
            [
                rng.choice(self.experts, self.top_k, replace=False, p=popularity)
                for _ in range(self.tokens)
            ]
        )
        token = np.repeat(np.arange(self.tokens), self.top_k)
        gate = rng.integers(0, 256, len(chosen))
        width = self.in_tiles * self.reads * 4
        matrices = len(np.unique(chosen)) * self.out_tiles * self.out_beats * 4
        return {
            "x": beats(int8(rng, self.tokens, width)),
            "routes": (gate << 16 | token << 8 | chosen).astype(np.uint32).reshape(-1, 1),
            "w": beats(int8(rng, matrices, width)),
        }

    def queues(self, inputs: Streams) -> list[NDArray[np.int64]]:
        """Of each expert: positions in the stream of routes, in order."""
        chosen = inputs["routes"][:, 0] & 255
        return [np.flatnonzero(chosen == expert) for expert in range(self.experts)]

    def outputs(self, inputs: Streams) -> Streams:
        width = self.in_tiles * self.reads * 4
        rows = inputs["x"].view(np.int8).reshape(self.tokens, width).astype(np.int64)
        weights = inputs["w"].view(np.int8).reshape(-1, self.out_tiles * self.out_beats * 4, width)
        routes = inputs["routes"][:, 0].astype(np.int64)
        queues = [queue for queue in self.queues(inputs) if len(queue)]
        results = [
            rows[routes[queue] >> 8 & 255] @ matrix.astype(np.int64).T * (routes[queue, None] >> 16)
            for queue, matrix in zip(queues, weights, strict=True)
        ]
        return {"y": np.concatenate(results).astype(np.int32).view(np.uint32).reshape(-1, 4)}
