"""How long a configuration of the experts' kernel takes on a CPU, from what its loops do.

An expert's rows go in tiles of MR, the rest in halves. A tile takes steps through the depth; a step
lasts as long as the slowest of its multiply-adds, its loads, the second cache, and the latency of a
sum. The first tile of rows waits for the weights from memory besides, the next ones find them in
the second cache. The end of a stretch costs something for each vector of sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...hardware.device import Cpu
from ...hardware.local import local_cpu
from ..library.cpu_experts import CpuShape, vector_unit
from ..library.cpu_layer import COLD, last_cache_bytes, rounds
from ..search.space import Space

Numbers = NDArray[np.float64]
LINE = 16
"""Floats of a cache line."""


class CpuCosts(msgspec.Struct, frozen=True, kw_only=True):
    """In units of one vector multiply-add at the core's measured peak.

    load: of a vector from the first cache. latency: from a sum to its next term. loop: counting,
    once in UNROLL steps. near: of a line from the second cache. far: the wait for a line from
    memory; of weights as shipped and in panels, `ahead` with PREFETCH. astray: of a line that is
    prefetched from beyond the stretch. add: of a vector of sums to memory. fold: of the sum of its
    elements. tile: of setting one up.
    """

    load: float = 0.7
    latency: float = 4.0
    loop: float = 0.5
    near: float = 3.0
    far: float = 14.0
    far_ahead: float = 12.0
    far_panels: float = 14.0
    far_panels_ahead: float = 12.0
    astray: float = 4.0
    add: float = 2.0
    fold: float = 8.0
    tile: float = 20.0


class Prediction(NamedTuple):
    """seconds `[configs]`; the measured ones lie between seconds / factor and seconds * factor for
    80% of the configurations. bound_s: what the peaks of the machine allow any of them."""

    seconds: Numbers
    factor: float
    bound_s: float


class Product(NamedTuple):
    """One matrix product of each expert: `parts` matrices `[columns, depth]` at a time."""

    parts: int
    columns: int
    depth: int


def predict(space: Space, shape: CpuShape, seed: int = 0) -> Prediction:
    """Of this machine, whose peaks are probed once."""
    cpu = local_cpu()
    starts = rounds(shape, seed, COLD * last_cache_bytes())
    configs = [space.config(row) for row in range(len(space))]
    seconds = predicted(configs, shape, starts, cpu, COSTS)
    return Prediction(seconds, FACTOR, bound_s(shape, starts, cpu))


def predicted(
    configs: Sequence[Mapping[str, int]],
    shape: CpuShape,
    starts: NDArray[np.int64],
    cpu: Cpu,
    costs: CpuCosts,
) -> Numbers:
    """Seconds of a round for each configuration, the mean over the rounds `starts`; the roofline
    where threads would together be faster."""
    rows, times = np.unique(np.diff(starts), return_counts=True)
    experts = [(int(r), int(n)) for r, n in zip(rows, times, strict=True) if r]
    core = cpu.core_flops_per_s or cpu.peak("fp32") / cpu.cores
    unit_s = 2 * vector_unit(cpu).lanes / core
    units = [
        sum(
            _units(config, costs, product, experts)
            for product in _products(shape, bool(config["FUSE"]))
        )
        / config["THREADS"]
        for config in configs
    ]
    return np.maximum(np.array(units) * (unit_s / len(starts)), bound_s(shape, starts, cpu))


def bound_s(shape: CpuShape, starts: NDArray[np.int64], cpu: Cpu) -> float:
    """The roofline of a round: weights of the busy experts, inputs and outputs once, against the
    bandwidth; multiply-adds against the peak."""
    busy = np.count_nonzero(np.diff(starts)) / len(starts)
    # The activations between the products are written and read once more.
    activations = 4 * shape.rows * (2 * shape.hidden + 2 * shape.inter)
    bandwidth = cpu.memory.bandwidth_bytes_per_s
    memory = (busy * shape.expert_bytes + activations) / bandwidth
    return max(memory, shape.flops / cpu.peak("fp32"))


def _products(shape: CpuShape, fuse: bool) -> list[Product]:
    gate_and_up = [Product(1 + fuse, shape.inter, shape.hidden)] * (1 if fuse else 2)
    return [*gate_and_up, Product(1, shape.hidden, shape.inter)]


def _units(
    config: Mapping[str, int],
    costs: CpuCosts,
    product: Product,
    experts: Sequence[tuple[int, int]],
) -> float:
    """experts: how many rows, and how many experts have them."""
    columns = config["NR"] * (config["VECTOR"] if config["LAYOUT"] else 1)
    tiles = product.columns // columns
    total = 0.0
    for rows, times in experts:
        left, height, cold = rows, config["MR"], 1
        while left:
            count, left = divmod(left, height)
            if count:
                warm = (count - cold) * _tile(config, costs, product, height)
                total += times * tiles * warm
                total += times * tiles * cold * _tile(config, costs, product, height, cold=True)
                cold = 0
            height //= 2
    return total


def _tile(
    config: Mapping[str, int], costs: CpuCosts, product: Product, height: int, cold: bool = False
) -> float:
    """Of `height` rows through the whole depth. cold: its weights lie in memory, else in the second
    cache, which feeds while the core multiplies. The latency of a sum covers either."""
    wide = config["NR"] * product.parts
    lines = wide * config["VECTOR"] / LINE
    loads = (height + wide + (wide if config["PREFETCH"] else 0)) * costs.load
    busy = max(height * wide, loads)
    fed = busy + lines * _wait(config, costs, product) if cold else max(busy, lines * costs.near)
    step = max(fed, costs.latency) + costs.loop / config["UNROLL"]
    add = height * wide * (costs.add + (0 if config["LAYOUT"] else costs.fold))
    steps = product.depth if config["LAYOUT"] else product.depth // config["VECTOR"]
    return steps * step + -(-product.depth // config["KC"]) * (add + costs.tile)


def _wait(config: Mapping[str, int], costs: CpuCosts, product: Product) -> float:
    """For a line of the weights from memory."""
    ahead = config["PREFETCH"]
    if config["LAYOUT"]:
        return costs.far_panels_ahead if ahead else costs.far_panels
    if not ahead:
        return costs.far
    stretch = min(config["KC"], product.depth) / LINE
    return costs.far_ahead + min(1.0, ahead / stretch) * costs.astray


COSTS = CpuCosts(
    load=0.667,
    latency=4.19,
    loop=0.589,
    near=3.37,
    far=14.2,
    far_ahead=12.4,
    far_panels=16.5,
    far_panels_ahead=14.8,
    astray=2.79,
    add=2.41,
    fold=11.8,
    tile=18.2,
)
"""Fitted to 140 configurations of five shapes on one x86-64 server with AVX-512; on other CPUs they
scale with the core's peak (bench/accuracy/cpu_kernel.py fits anew)."""
FACTOR = 1.23
"""Of the configurations that were not fitted."""
