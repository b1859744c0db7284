"""The experts of a layer on a CPU: what the kernel is given, and what it must give."""

from __future__ import annotations

import os

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import bounds
from .cpu_experts import CpuShape
from .experts import Numbers, products, swiglu
from .formats import FP32
from .kernel import Expected

Floats = NDArray[np.float32]
COLD = 2
"""Last caches that are read between two uses of a weight."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel is given, the same for the same seed.

    inputs `[rows, hidden]`; gate, up `[experts, inter, hidden]`; down `[experts, hidden, inter]`.
    starts `[rounds, experts + 1]`: the first row of each expert, then the number of rows. Rounds
    follow each other so that the weights of one are not in the caches any more.
    """

    shape: CpuShape
    inputs: Floats
    gate: Floats
    up: Floats
    down: Floats
    starts: NDArray[np.int64]


def draw(shape: CpuShape, seed: int, cold_bytes: int) -> Layer:
    """Normal numbers, the weights smaller by the root of the depth. cold_bytes: the least that all
    rounds together read of the weights."""
    rng = np.random.default_rng(seed)

    def normal(*size: int) -> Floats:
        values = rng.standard_normal(size, np.float32)
        values *= np.float32(size[-1] ** -0.5 if len(size) == 3 else 1)
        return values

    wide = (shape.experts, shape.inter, shape.hidden)
    return Layer(
        shape=shape,
        inputs=normal(shape.rows, shape.hidden),
        gate=normal(*wide),
        up=normal(*wide),
        down=normal(shape.experts, shape.hidden, shape.inter),
        starts=rounds(shape, seed, cold_bytes),
    )


def rounds(shape: CpuShape, seed: int, cold_bytes: int) -> NDArray[np.int64]:
    """`starts` of a layer. Each token takes top_k experts, all equally likely. Those that were read
    longest ago stand for the ones taken: what a cache keeps of a round is of least use to the next.
    """
    rng = np.random.default_rng((seed, 1))
    oldest_first = np.arange(shape.experts)
    starts: list[NDArray[np.int64]] = []
    read = 0
    while not starts or read < cold_bytes:
        choices = rng.permuted(np.tile(np.arange(shape.experts), (shape.tokens, 1)), axis=1)
        counts = np.bincount(choices[:, : shape.top_k].ravel(), minlength=shape.experts)
        taken = np.flatnonzero(counts)
        rows = np.zeros(shape.experts, np.int64)
        rows[oldest_first[: len(taken)]] = counts[taken]
        oldest_first = np.roll(oldest_first, -len(taken))
        starts.append(np.concatenate([[0], np.cumsum(rows)]))
        read += len(taken) * shape.expert_bytes
    return np.array(starts, np.int64)


def panels(weights: Floats, columns: int) -> Floats:
    """`[experts, columns of the matrix, depth]` as LAYOUT 1 wants it: `[experts, panels, depth,
    columns]`."""
    experts, wide, depth = weights.shape
    parted = weights.reshape(experts, wide // columns, columns, depth)
    return np.ascontiguousarray(parted.swapaxes(2, 3))


class Right:
    """What the first round must give, in float64."""

    def __init__(self, layer: Layer) -> None:
        self._starts = layer.starts[0]
        inputs = layer.inputs.astype(np.float64)
        self._down = layer.down.astype(np.float64)
        sums = [self._product(inputs, w.astype(np.float64)) for w in (layer.gate, layer.up)]
        errors = [self._error(inputs, w) for w in (layer.gate, layer.up)]
        value = swiglu(*sums)
        # The bound of CUDA's exp and division holds: exp here is off by less than 2 last places.
        error = bounds.swiglu(sums[0], sums[1], errors[0], errors[1])
        self._between = Expected(
            value=value, bound=bounds.rounded(value, error, FP32), values=np.asarray
        )

    def excess(self, between: Floats, out: Floats) -> float:
        """The worst error over its bound: `between` against the exact, `out` against the exact
        product of `between`, so that no error of the first hides one of the second."""
        exact = between.astype(np.float64)
        expected = Expected(
            value=self._product(exact, self._down),
            bound=self._error(exact, self._down),
            values=np.asarray,
        )
        return max(self._between.excess(between), expected.excess(out))

    def _product(self, inputs: Numbers, weights: Numbers) -> Numbers:
        return products(inputs, weights, self._starts)

    def _error(self, inputs: Numbers, weights: NDArray[np.floating]) -> Numbers:
        """derived: in any order a term goes through at most as many roundings as there are terms,
        one more with the first zero; by Cauchy and Schwarz sum |a||b| <= |a| |b|."""
        depth = inputs.shape[1]
        lengths = np.linalg.norm(weights, axis=2).astype(np.float64)
        rows = np.repeat(np.arange(len(lengths)), np.diff(self._starts))
        length = np.linalg.norm(inputs, axis=1, keepdims=True)
        most: Numbers = length * lengths[rows] * 1.001  # the lengths are rounded, too
        return bounds.fp32_sum(float(depth + 1)) * most


def last_cache_bytes() -> int:
    """The last cache of this machine, as the C library tells; 32 MiB where it does not."""
    for level in (4, 3, 2):
        try:
            size = os.sysconf(f"SC_LEVEL{level}_CACHE_SIZE")
        except (AttributeError, ValueError, OSError):
            continue
        if size > 0:
            return size
    return 32 * 2**20
