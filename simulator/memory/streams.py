"""Streams: runs of bytes that several readers ask for at once; KV pages and activations as such."""

from __future__ import annotations

import heapq

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput, bytes_of
from ...workload import MoEModel
from ...workload.model import Gqa, Mla
from .requests import MOST_REQUESTS, Requests

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples modulo 1 are spread evenly, whatever their number."""

Addresses = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class Tiles(msgspec.Struct, frozen=True, eq=False):
    """Pieces of memory in the order in which they are asked for; arrays `[tiles]`, bytes."""

    base: Addresses
    size: Numbers
    write: NDArray[np.bool_]

    def requests(self, access_bytes: int) -> Requests:
        """Every access that the tiles touch, all offered at cycle 0: the memory sets the pace."""
        step = np.uint64(access_bytes)
        first = self.base // step
        past = (self.base + self.size.astype(np.uint64) - np.uint64(1)) // step + np.uint64(1)
        count = (past - first).astype(np.int64)
        total = int(count.sum())
        if total > MOST_REQUESTS:
            raise BadInput(f"are {total} requests; at most {MOST_REQUESTS} are made", key="stream")
        before = np.repeat(first - (np.cumsum(count) - count).astype(np.uint64), count)
        return Requests(
            np.zeros(total, np.int64),
            np.repeat(self.write, count),
            (before + np.arange(total, dtype=np.uint64)) * step,
        )


class Runs(msgspec.Struct, frozen=True, eq=False):
    """Runs of bytes read or written by several readers: millions of requests in a few rows.

    base: uint64 `[n]`; size: int64 `[n]`, bytes; write: bool `[n]`. Readers take the runs in order,
    each the next one when it is done with its own, and in turn ask for `tile_bytes` of them.
    """

    base: Addresses
    size: Numbers
    write: NDArray[np.bool_]
    readers: int
    tile_bytes: int

    def __post_init__(self) -> None:
        if not self.base.shape == self.size.shape == self.write.shape:
            raise BadInput("base, size and write must be equally long", key="stream")
        for key in ("readers", "tile_bytes"):
            if getattr(self, key) < 1:
                raise BadInput("must be at least 1", key=key, value=getattr(self, key))
        if not self.size.size or self.size.min() < 1:
            raise BadInput("needs runs of at least one byte each", key="stream")

    @classmethod
    def of(
        cls,
        base: ArrayLike,
        size: ArrayLike,
        *,
        write: ArrayLike = False,
        readers: int = 1,
        tile_bytes: int = 2048,
    ) -> Runs:
        """Runs from arrays, where `size` and `write` may be one value for all."""
        bases = np.atleast_1d(np.asarray(base, np.uint64))
        sizes = np.broadcast_to(np.asarray(size, np.int64), bases.shape).copy()
        writes = np.broadcast_to(np.asarray(write, np.bool_), bases.shape).copy()
        return cls(bases, sizes, writes, readers, tile_bytes)

    @property
    def bytes(self) -> int:
        return int(self.size.sum())

    def tiles(self) -> Tiles:
        """All tiles in order: round by round, and in a round reader by reader."""
        count = -(-self.size // self.tile_bytes)
        begin, reader = _rounds(count, self.readers)
        return self._between(begin, reader, 0, int((begin + count).max()))

    def sample(self, parts: int, part_bytes: int) -> Tiles:
        """Parts of `part_bytes` and more, one in each of as many equal stretches of the stream, or
        all of it if less.

        parts: a power of two. They stand in bit-reversed order, so that the first half of them is
        spread evenly too, and not at one distance, which the bits of addresses would resonate with.
        """
        count = -(-self.size // self.tile_bytes)
        begin, reader = _rounds(count, self.readers)
        rounds = int((begin + count).max())
        width = -(-part_bytes // (min(self.readers, count.size) * self.tile_bytes))
        if parts * width >= rounds:
            return self._between(begin, reader, 0, rounds)
        bits = parts.bit_length() - 1
        order = [int(f"{i:0{bits}b}"[::-1], 2) if bits else 0 for i in range(parts)]
        stretch = rounds / parts
        starts = [int(i * stretch + (i * GOLDEN % 1) * (stretch - width)) for i in order]
        made = [self._between(begin, reader, start, start + width) for start in starts]
        columns = zip(*((part.base, part.size, part.write) for part in made), strict=True)
        return Tiles(*(np.concatenate(column) for column in columns))

    def _between(self, begin: Numbers, reader: Numbers, first: int, past: int) -> Tiles:
        """The tiles of rounds `first` to `past`; begin (which never falls), reader: `_rounds`."""
        count = -(-self.size // self.tile_bytes)
        near = slice(*np.searchsorted(begin, [first - int(count.max()), past]).tolist())
        begin, reader, count = begin[near], reader[near], count[near]
        low = np.clip(first - begin, 0, count)
        count = np.clip(past - begin, 0, count) - low
        if int(count.sum()) > MOST_REQUESTS:
            raise BadInput(f"is more than {MOST_REQUESTS} tiles", key="stream")
        run = np.repeat(np.arange(count.size), count)
        nth = np.arange(run.size) - np.repeat(np.cumsum(count) - count - low, count)
        order = np.lexsort((reader[run], begin[run] + nth))
        run, offset = run[order] + near.start, nth[order] * self.tile_bytes
        return Tiles(
            self.base[run] + offset.astype(np.uint64),
            np.minimum(self.size[run] - offset, self.tile_bytes),
            self.write[run],
        )

    def requests(self, access_bytes: int) -> Requests:
        """Every access of every run, in order."""
        return self.tiles().requests(access_bytes)


def _rounds(count: Numbers, readers: int) -> tuple[Numbers, Numbers]:
    """The round in which each run begins, and its reader: whoever is free first takes the next."""
    if readers == 1 or (count == count[0]).all():  # in turn, without asking who is free
        turn, taken = np.divmod(np.arange(count.size), readers)
        return (np.cumsum(count) - count if readers == 1 else turn * count), taken
    free = [(0, reader) for reader in range(readers)]
    begin, taken = np.zeros(count.size, np.int64), np.zeros(count.size, np.int64)
    for run, rounds in enumerate(count.tolist()):
        at, reader = free[0]
        begin[run], taken[run] = at, reader
        heapq.heapreplace(free, (at + rounds, reader))
    return begin, taken


def paged_kv(
    model: MoEModel,
    *,
    requests: int,
    context: int,
    page_tokens: int,
    pool_bytes: int,
    readers: int,
    tile_bytes: int,
    seed: int,
) -> Runs:
    """The cache that one attention layer reads to decode a token of each of `requests`.

    Pages of `page_tokens` lie at random in the layer's pool of `pool_bytes` (PagedAttention, arXiv
    2309.06180, section 4.1), keys before values in a page; MLA's latents are one vector a token.
    The last page of a request is read as far as it is filled. Raises BadInput where the layer keeps
    no cache or the pool is too small.
    """
    kept = _kept(model)
    if kept is None:
        raise BadInput("keeps no cache of keys and values", key=model.name)
    halves, token_bytes = kept
    half_bytes = round(page_tokens * token_bytes)
    page_bytes = halves * half_bytes
    pages = -(-context // page_tokens)
    places = pool_bytes // page_bytes
    if not 0 < requests * pages <= places:
        raise BadInput(
            f"needs {requests * pages} pages of {page_bytes} bytes, the pool has room for {places}",
            key="kv",
        )
    drawn = np.random.default_rng(seed).choice(places, (requests, pages), replace=False)
    first = drawn.astype(np.uint64)[..., None] * np.uint64(page_bytes)
    base = first + np.arange(halves, dtype=np.uint64) * np.uint64(half_bytes)
    filled = np.minimum(context - np.arange(pages) * page_tokens, page_tokens)
    size = np.broadcast_to(np.ceil(filled * token_bytes).astype(np.int64)[:, None], base.shape)
    return Runs.of(base.ravel(), size.ravel(), readers=readers, tile_bytes=tile_bytes)


def has_cache(model: MoEModel) -> bool:
    """Whether any layer keeps keys and values, or latents."""
    return _kept(model) is not None


def _kept(model: MoEModel) -> tuple[int, float] | None:
    """Of a token in the first layer with a cache: vectors stored apart, and the bytes of each."""
    for mixer in (mixer for layer in model.layers for mixer in layer.mixers):
        if isinstance(mixer, Mla) and mixer.causal:
            return 1, bytes_of(model.formats.kv, mixer.kv_rank + mixer.rope_dim)
        if isinstance(mixer, Gqa) and mixer.causal and not mixer.cross:
            return 2, bytes_of(model.formats.kv, mixer.kv_heads * mixer.head_dim)
    return None


def activations(model: MoEModel, *, tokens: int, start: int, readers: int, tile_bytes: int) -> Runs:
    """Hidden states of `tokens` read from `start` on and written behind them: every other tile is a
    write, as where an operator passes its result on through memory."""
    size = round(bytes_of(model.formats.activations, model.hidden)) * tokens
    offsets = np.arange(0, size, tile_bytes, dtype=np.uint64)
    base = np.uint64(start) + np.stack([offsets, offsets + np.uint64(size)], axis=1)
    part = np.minimum(size - offsets.astype(np.int64), tile_bytes)
    return Runs.of(
        base.ravel(),
        np.repeat(part, 2),
        write=np.tile([False, True], offsets.size),
        readers=readers,
        tile_bytes=tile_bytes,
    )
