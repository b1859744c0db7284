"""Machine: the few figures of a GPU that the tile model reads."""

from __future__ import annotations

from ...base import BadInput, Count, Positive, Spec
from ...hardware import AnyDevice, Gpu


class Machine(Spec, frozen=True, kw_only=True):
    """units: streaming multiprocessors. peak: FLOP/s of all of them for one number format.
    bandwidth: bytes/s of the memory. cache: bytes of the last cache."""

    units: Count
    peak_flops_per_s: Positive
    bandwidth_bytes_per_s: Positive
    cache_bytes: Positive

    @classmethod
    def of(cls, device: AnyDevice, dtype: str) -> Machine:
        """The figures of a catalogue GPU for products in `dtype`; refuses what lacks one."""
        if not isinstance(device, Gpu):
            raise BadInput("is no GPU; the tile model knows GPUs only", key=device.name)
        if device.units is None or device.cache is None:
            raise BadInput(
                "states no number of units or no cache; the tile model needs both", key=device.name
            )
        return cls(
            units=device.units,
            peak_flops_per_s=device.peak(dtype),
            bandwidth_bytes_per_s=device.memory.bandwidth_bytes_per_s,
            cache_bytes=device.cache.capacity_bytes,
        )
