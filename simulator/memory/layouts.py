"""Layouts: where the bytes of an expert lie, and in which order kernels read them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ...base import BadInput, Count, Spec, bytes_of, unknown
from ...workload import MoEModel
from .streams import Addresses, Numbers, Runs

ALIGNMENT_BYTES = 2 * 2**20
"""Steps on which GPU memory is handed out in large blocks (CUDA's physical granularity)."""
SEGMENT_BYTES = 128
"""What is asked for at a time of one line of a matrix: a GPU's cache line."""


class Expert(Spec, frozen=True, kw_only=True):
    """An expert's matrices as they are stored: `lines[i]` lines of `line_bytes[i]` each.

    Gate and up together first, then down; a line is one output of a product.
    """

    lines: tuple[Count, ...]
    line_bytes: tuple[Count, ...]

    @classmethod
    def of(cls, model: MoEModel) -> Expert:
        """An expert of the first MoE layer; scales of block formats are spread over the lines."""
        block, dtype = model.experts, model.formats.experts
        return cls(
            lines=((2 if block.gated else 1) * block.inter, model.hidden),
            line_bytes=tuple(round(bytes_of(dtype, n)) for n in (model.hidden, block.inter)),
        )

    @property
    def bytes(self) -> int:
        return sum(n * size for n, size in zip(self.lines, self.line_bytes, strict=True))


class Reading(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Which experts are read, from where, by how many at once.

    bases: uint64 `[experts]`, where the block of each begins; touched: the experts read, in order;
    tile_bytes: what a reader asks for before the next one's turn. regions: equal parts of the
    `capacity_bytes` over which layout 'sliced' spreads every expert; data buses, where the address
    map has channels on top.
    """

    bases: Addresses
    touched: Numbers
    readers: int
    tile_bytes: int
    regions: int = 1
    capacity_bytes: int = 0

    def __post_init__(self) -> None:
        if not self.touched.size or not 0 <= self.touched.min() <= self.touched.max() < len(
            self.bases
        ):
            raise BadInput(f"must be of the {len(self.bases)} experts", key="touched")


def stacked(count: int, size: int, start: int = 0) -> Addresses:
    """Bases of `count` blocks of `size` bytes, one after the other, each aligned."""
    return np.uint64(start) + np.arange(count, dtype=np.uint64) * np.uint64(_aligned(size))


def scattered(count: int, size: int, capacity_bytes: int, seed: int) -> Addresses:
    """Bases of `count` aligned blocks of `size` bytes at random places, without overlap."""
    places = capacity_bytes // _aligned(size)
    if count > places:
        raise BadInput(f"are {count} of {size} bytes; there is room for {places}", key="experts")
    drawn = np.random.default_rng(seed).permutation(places)[:count]
    return drawn.astype(np.uint64) * np.uint64(_aligned(size))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _contiguous(expert: Expert, reading: Reading) -> Runs:
    """One block an expert, and one reader for each: as many experts at once as readers."""
    return _runs(reading.bases[reading.touched], np.int64(expert.bytes), reading)


def _split(expert: Expert, reading: Reading) -> Runs:
    """One block an expert, packed tile by tile; all readers share each, a slice of columns each."""
    part = -(-expert.bytes // (reading.readers * reading.tile_bytes)) * reading.tile_bytes
    offsets = np.arange(0, expert.bytes, part, dtype=np.int64)
    base = reading.bases[reading.touched][:, None] + offsets.astype(np.uint64)
    size = np.broadcast_to(np.minimum(expert.bytes - offsets, part), base.shape)
    return _runs(base, size, reading)


def _rows(expert: Expert, reading: Reading) -> Runs:
    """Matrices line by line, as checkpoints hold them. A tile is `SEGMENT_BYTES` of as many lines
    as make `tile_bytes`; a reader walks along its lines, so it keeps all of them open."""
    starts, sizes, end = [], [], 0
    for lines, size in zip(expert.lines, expert.line_bytes, strict=True):
        starts.append(end + np.arange(lines, dtype=np.uint64) * np.uint64(size))
        sizes.append(np.full(lines, size, np.int64))
        end += lines * size
    base = reading.bases[reading.touched][:, None] + np.concatenate(starts)
    lines_at_once = max(1, reading.tile_bytes // SEGMENT_BYTES)
    return Runs.of(
        base.ravel(),
        np.broadcast_to(np.concatenate(sizes), base.shape).ravel(),
        readers=reading.readers * lines_at_once,
        tile_bytes=SEGMENT_BYTES,
    )


def _interleaved(expert: Expert, reading: Reading) -> Runs:
    """Tile i of every expert beside tile i of the others; as many experts at once as readers."""
    tile = reading.tile_bytes
    offsets = np.arange(0, expert.bytes, tile, dtype=np.int64)
    numbers = offsets * len(reading.bases) + reading.touched[:, None] * tile
    sizes = np.broadcast_to(np.minimum(expert.bytes - offsets, tile), numbers.shape)
    groups = range(0, len(numbers), reading.readers)
    base, size = (
        np.concatenate([part[group : group + reading.readers].T.ravel() for group in groups])
        for part in (reading.bases.min() + numbers.astype(np.uint64), sizes)
    )
    return Runs.of(base, size, tile_bytes=tile)


def _sliced(expert: Expert, reading: Reading) -> Runs:
    """Every expert cut into a slice of columns for each region; all slices of it at once."""
    part = -(-expert.bytes // (reading.regions * reading.tile_bytes)) * reading.tile_bytes
    region = reading.capacity_bytes // reading.regions
    if len(reading.bases) * part > region:
        raise BadInput(f"does not fit {len(reading.bases)} experts", key="layout", value="sliced")
    offsets = np.arange(0, expert.bytes, part, dtype=np.int64)
    starts = np.arange(offsets.size, dtype=np.uint64) * np.uint64(region)
    base = reading.touched.astype(np.uint64)[:, None] * np.uint64(part) + starts
    size = np.broadcast_to(np.minimum(expert.bytes - offsets, part), base.shape)
    return _runs(base, size, msgspec.structs.replace(reading, readers=offsets.size))


def _runs(base: Addresses, size: Numbers | np.int64, reading: Reading) -> Runs:
    sizes = size.ravel() if isinstance(size, np.ndarray) else size
    return Runs.of(base.ravel(), sizes, readers=reading.readers, tile_bytes=reading.tile_bytes)


LAYOUTS: dict[str, Callable[[Expert, Reading], Runs]] = {
    "contiguous": _contiguous,
    "split": _split,
    "rows": _rows,
    "interleaved": _interleaved,
    "sliced": _sliced,
}


def expert_runs(expert: Expert, reading: Reading, layout: str = "contiguous") -> Runs:
    """All bytes of the touched experts, in the order that the layout and its readers make."""
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS, key="layout")
    return LAYOUTS[layout](expert, reading)
