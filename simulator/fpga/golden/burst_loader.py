"""Bursts of a shared memory: tiles that are used several times, a second reader, and a writer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ....base import Count, Natural
from .block import LATENCY, Block, Streams, shallow_or

BURST = 16
"""Most beats of a burst."""


class BurstLoader(Block, frozen=True, kw_only=True):
    """tile: beats. uses: of each tile. A beat takes the bus for `num` / `den` cycles, a burst at
    least one; fetches, reads, writes: bursts of each port. All three request FIFOs are `request`
    deep."""

    top: ClassVar[str] = "burst_loader"
    sources: ClassVar[tuple[str, ...]] = ("fetch", "read", "write", "written")
    sinks: ClassVar[tuple[str, ...]] = ("out", "read data", "done")
    fifos: ClassVar[tuple[str, ...]] = (
        *("request", "written", "fetched", "tiles", "read data", "done", "out"),
    )

    most: ClassVar[Mapping[str, int]] = {
        **{"tile": BURST, "uses": 2**15, "num": 16, "den": 16},
        **{"memory_latency": 32, "out_latency": LATENCY},
    }
    deepest: ClassVar[Mapping[str, int]] = {"tiles": 2}

    tile: Count
    uses: Count
    num: Count
    den: Count
    fetches: Count
    reads: Count
    writes: Count
    memory_latency: Natural = 12
    out_latency: Natural = 2

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> BurstLoader:
        tile = int(rng.integers(1, BURST + 1))
        num, den = rng.integers(1, 9, 2).tolist()
        enough = {"request": 1, "written": BURST, "fetched": tile, "tiles": 2}
        depths = shallow_or(rng, enough | {"read data": BURST, "done": 1, "out": 2})
        least = {"written": BURST, "fetched": tile, "read data": BURST}
        depths = {name: max(depth, least.get(name, 1)) for name, depth in depths.items()}
        return cls(
            tile=tile,
            uses=int(rng.integers(1, 5)),
            num=num,
            den=den,
            fetches=int(rng.integers(1, 20)),
            reads=int(rng.integers(1, 20)),
            writes=int(rng.integers(1, 20)),
            memory_latency=int(rng.integers(0, 33)),
            out_latency=int(rng.integers(0, 9)),
            depths=depths | {"tiles": min(depths["tiles"], 2)},
        )

    def sizes(self) -> tuple[int, ...]:
        return (
            *(self.tile, self.uses, self.num, self.den),
            *(self.memory_latency, self.out_latency),
        )

    def inputs(self, rng: np.random.Generator) -> Streams:
        reads = rng.integers(1, BURST + 1, (self.reads, 1), dtype=np.uint32)
        writes = rng.integers(1, BURST + 1, (self.writes, 1), dtype=np.uint32)
        written = rng.integers(0, 2**32, (int(writes.sum()), 1), dtype=np.uint32)
        fetch = np.full((self.fetches, 1), self.tile, dtype=np.uint32)
        return {"fetch": fetch, "read": reads, "write": writes, "written": written}

    def outputs(self, inputs: Streams) -> Streams:
        tiles = _words(0, self.fetches * self.tile).reshape(self.fetches, 1, self.tile)
        sizes = inputs["write"][:, 0].astype(np.int64)
        sums = np.add.reduceat(inputs["written"][:, 0], sizes.cumsum() - sizes)
        return {
            "out": np.repeat(tiles, self.uses, axis=1).reshape(-1, 1),
            "read data": _words(1, int(inputs["read"].sum())).reshape(-1, 1),
            "done": sums.astype(np.uint32).reshape(-1, 1),
        }


def _words(port: int, beats: int) -> NDArray[np.uint32]:
    """What the memory holds for a port, address by address."""
    return (np.arange(beats, dtype=np.uint32) * 4 + np.uint32(port)) * np.uint32(0x9E3779B1)
