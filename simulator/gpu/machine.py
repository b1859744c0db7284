"""Machine: the few figures of a GPU that the tile models read."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice, Gpu

Figure = float | NDArray[np.float64]


CACHE_PORT_BYTES = 64
"""Bytes a cycle from the last cache to an SM (NVIDIA A100 whitepaper: 5,120 B/clk for 80 slices;
from memory, unverified for the others)."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """units: streaming multiprocessors; clock: their boost clock. peak: FLOP/s of all of them for
    one number format. bandwidth: bytes/s of the memory. cache: bytes of the last cache. cache_port:
    bytes/s that all SMs together can take from the cache, CACHE_PORT_BYTES each a cycle.
    cache_partitions: parts that it is split into.

    Each a number, or `[calls]` where calls ran on several GPUs.
    """

    units: Figure
    clock_hz: Figure
    peak_flops_per_s: Figure
    bandwidth_bytes_per_s: Figure
    cache_bytes: Figure
    cache_port_bytes_per_s: Figure
    cache_partitions: Figure

    def seconds(self, cycles: float) -> Figure:
        """Of so many cycles of the SMs: what is a matter of instructions and of latencies on the
        chip travels from GPU to GPU as cycles."""
        return cycles / self.clock_hz

    def kept_share(self, share: float) -> Figure:
        """Of the cache, that keeps from one repeat to the next what is read in the same order: all
        of one that is a single piece; `share` of a split one, whose parts hold duplicates."""
        return np.where(np.asarray(self.cache_partitions) > 1, share, 1.0)

    @classmethod
    def of(cls, device: AnyDevice, dtype: str) -> Machine:
        """The figures of a catalogue GPU for products in `dtype`; refuses what lacks one."""
        if not isinstance(device, Gpu):
            raise BadInput("is no GPU; the tile model knows GPUs only", key=device.name)
        if device.units is None or device.cache is None or device.clock_hz is None:
            raise BadInput(
                "states no number of units, no clock or no cache; the tile model needs all three",
                key=device.name,
            )
        return cls(
            units=float(device.units),
            clock_hz=device.clock_hz,
            peak_flops_per_s=device.peak(dtype),
            bandwidth_bytes_per_s=device.memory.bandwidth_bytes_per_s,
            cache_bytes=device.cache.capacity_bytes,
            cache_port_bytes_per_s=CACHE_PORT_BYTES * device.units * device.clock_hz,
            cache_partitions=float(device.cache.partitions),
        )
