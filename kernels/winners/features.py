"""What the physics of a tile says before anything is measured: figures without units."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .chips import Chip
from .shapes import Shape

Floats = NDArray[np.float64]

TILES = tuple(itertools.product((16, 32, 64, 128, 256), (32, 64, 128, 256), (32, 64, 128, 256)))
"""Rows, columns and depth of a block: the grid that vLLM and SGLang tune over, and depth 32."""
SIZE = 2
"""Bytes of an element in 16 bit."""
PORT_BYTES = 64
"""Bytes a cycle from the last cache to an SM (as in the simulator's Machine)."""
STEP_CYCLES, BLOCK_CYCLES = 400, 1500
"""Of one step along the depth that waits for memory, and to start and end a block: from memory,
unverified; the ranking learns the weight of what they add up to."""
LAUNCH_SHARE = 0.3
"""Of the cache's time, what adds to the total where it is hidden in part: unverified."""


def features(shape: Shape, tokens: int, chip: Chip) -> dict[str, Floats]:
    """The figures of every tile, each `[TILES]`: base-2 logarithms of ratios, so that one octave
    counts alike everywhere."""
    high, wide, deep = np.array(TILES, float).T
    rows = tokens * shape.top_k
    each = rows / touched(shape, tokens)
    row_tiles = np.array([row_tiles_of(shape, tokens, int(tile)) for tile in high])
    products = [
        _product(columns, depth, row_tiles, shape, tokens, chip)
        for columns, depth in ((shape.up_columns, shape.hidden), (shape.hidden, shape.inter))
    ]
    up, down = products
    weights = shape.hidden * (shape.up_columns + shape.inter)
    bound = max(
        float((up["memory"] + down["memory"])[0]), 2.0 * rows * weights / chip.peak_flops_per_s
    )
    stage = (high + wide) * deep * SIZE / chip.shared_bytes
    gap = np.log2(high / each)
    area = np.log2(high * wide)
    found = {
        "row padding": np.log2(row_tiles * high / rows),
        "too low": np.maximum(-gap, 0),
        "too high": np.maximum(gap, 0),
        "row misfit": gap**2 / 4,
        "stage": np.log2(stage),
        "4 stages short": np.maximum(np.log2(4 * stage), 0),
        "3 stages short": np.maximum(np.log2(3 * stage), 0),
        "2 stages short": np.maximum(np.log2(2 * stage), 0),
        "wide accumulators": np.maximum(area - 13, 0),
        "very wide accumulators": np.maximum(area - 14, 0),
    }
    for name in ("arithmetic", "cache", "latency", "total"):
        found[name] = np.log2(1 + (up[name] + down[name]) / bound)
    for prefix, one in zip(("up", "down"), products, strict=True):
        found |= {f"{prefix} {name}": one[name] for name in RATIOS}
    return found


RATIOS = ("column padding", "depth padding", "idle units", "ragged wave", "waves", "steps")


def _product(
    columns: int, depth: int, row_tiles: Floats, shape: Shape, tokens: int, chip: Chip
) -> dict[str, Floats]:
    """One of the two products: seconds of its parts and the ratios of RATIOS, each `[TILES]`."""
    high, wide, deep = np.array(TILES, float).T
    rows = tokens * shape.top_k
    steps, across = np.ceil(depth / deep), np.ceil(columns / wide)
    blocks = row_tiles * across
    waves = blocks / chip.units
    stage = (high + wide) * deep * SIZE
    resident = np.clip(chip.shared_bytes // (2 * stage), 1, np.where(high * wide > 2**14, 8, 16))
    arithmetic = 2 * blocks * high * wide * steps * deep / chip.peak_flops_per_s
    cache = blocks * stage * steps / (PORT_BYTES * chip.units * chip.clock_hz)
    latency = np.ceil(waves / resident) * (steps * STEP_CYCLES + BLOCK_CYCLES) / chip.clock_hz
    moved = SIZE * (touched(shape, tokens) * columns * depth + rows * (columns + depth))
    memory = np.full(len(TILES), moved / chip.bandwidth_bytes_per_s)
    return {
        "arithmetic": arithmetic,
        "memory": memory,
        "cache": cache,
        "latency": latency,
        "total": np.maximum(arithmetic, memory) + latency + LAUNCH_SHARE * cache,
        "column padding": np.log2(across * wide / columns),
        "depth padding": np.log2(steps * deep / depth),
        "idle units": np.maximum(-np.log2(waves), 0),
        "ragged wave": np.where(waves > 1, np.log2(np.ceil(waves) / waves), 0.0),
        "waves": np.log2(1 + waves),
        "steps": np.log2(steps),
    }


def touched(shape: Shape, tokens: int) -> float:
    """Experts that at least one token takes, where each takes top_k of them by itself."""
    return shape.experts * (1 - (1 - shape.top_k / shape.experts) ** tokens)


@functools.cache
def row_tiles_of(shape: Shape, tokens: int, high: int) -> float:
    """Mean row tiles of all experts together.

    derived: an expert's rows are binomial, and its tiles the sum over j of P(rows > j high).
    """
    from scipy.stats import binom

    edges = np.arange(0, tokens, high)
    return float(shape.experts * binom.sf(edges, tokens, shape.top_k / shape.experts).sum())


NAMES = (
    "row padding", "too low", "too high", "row misfit",
    "stage", "4 stages short", "3 stages short", "2 stages short",
    "wide accumulators", "very wide accumulators",
    "arithmetic", "cache", "latency", "total",
    *(f"{product} {name}" for product in ("up", "down") for name in RATIOS),
)  # fmt: skip
"""The features, in the order of `table`."""


def table(shapes: Sequence[Shape], tokens: int, chip: Chip) -> Floats:
    """`[TILES, features]`: the mean over shapes, where a winner fits several known models."""
    each = [features(one, tokens, chip) for one in shapes]
    mean = np.mean([[found[name] for name in NAMES] for found in each], axis=0)
    return np.asarray(mean.T)
