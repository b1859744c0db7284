"""Chip: the figures of a GPU that decide which tile wins; and the devices of published winners."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

from ...base import BadInput, Count, Positive, Spec
from ...base.spec import load
from ...hardware import AnyDevice, Gpu
from ...hardware.load import device as catalogue_device

RESERVED_BYTES = 1024
"""Of an SM's shared memory, what the driver keeps for each block (CUDA programming guide)."""


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """units: streaming multiprocessors. shared_bytes: what one block may take of an SM."""

    units: float
    clock_hz: float
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    shared_bytes: float

    @classmethod
    def of(cls, device: AnyDevice, clock_hz: float | None = None) -> Chip:
        """A catalogue GPU's figures for 16-bit products. Raises BadInput where one is unknown."""
        clock = clock_hz or device.clock_hz
        if not isinstance(device, Gpu) or device.vendor != "NVIDIA":
            raise BadInput("the ranking knows NVIDIA GPUs only", key=device.name)
        if device.units is None or clock is None or device.shared_memory_bytes_per_unit is None:
            raise BadInput(
                "states no number of units, no clock or no shared memory; the ranking of tiles "
                "needs all three",
                key=device.name,
            )
        return cls(
            units=float(device.units),
            clock_hz=clock,
            peak_flops_per_s=device.peak("bf16"),
            bandwidth_bytes_per_s=device.memory.bandwidth_bytes_per_s,
            shared_bytes=device.shared_memory_bytes_per_unit - RESERVED_BYTES,
        )


class TunedDevice(Spec, frozen=True, kw_only=True, rename={"group": "class"}):
    """A device of the published winners. group: its class; gpu: of the catalogue; the others stand
    in for the catalogue's figures."""

    name: str
    group: str
    gpu: str
    units: Count | None = None
    clock_hz: Positive | None = None
    bandwidth_bytes_per_s: Positive | None = None
    peak_flops_per_s: Positive | None = None

    def stands_for(self, gpu: str) -> bool:
        """Whether it is the catalogue's GPU of this name, not another that resembles it."""
        return gpu == self.gpu and not self.units

    def chip(self) -> Chip:
        base = Chip.of(catalogue_device(self.gpu), self.clock_hz)
        own = ("units", "bandwidth_bytes_per_s", "peak_flops_per_s")
        given = {name: float(getattr(self, name)) for name in own if getattr(self, name)}
        return msgspec.structs.replace(base, **given)


class _Devices(Spec, frozen=True, kw_only=True):
    device: tuple[TunedDevice, ...]


@functools.cache
def tuned_devices() -> dict[str, TunedDevice]:
    """The devices of the published winners by name."""
    return {each.name: each for each in load(_Devices, Path(__file__).parent / "chips.toml").device}
