"""What the host keeps of its bandwidth, alone and while the units read other banks."""

from __future__ import annotations

import msgspec

from ...base import Evidence
from ...hardware import Pim
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang
from ..memory.kept import kept
from .meeting import meet
from .rates import INTERVALS, RAMP, gangs_of, memory_of, one_channel


class HostRate(msgspec.Struct, frozen=True, kw_only=True):
    """alone: share of its peak that a host reading whole rows gets. beside: of that, what is left
    while the units read other banks; the same banks, where one gang holds them all."""

    alone: float
    beside: float
    evidence: Evidence = "simulated"


def host_rate(device: Pim, spaces: int = 2, *, own_bus: bool | None = None) -> HostRate:
    """The host's rates beside units that read `spaces` gangs in turn, on the memory core, kept as
    `pim_rate` is.

    own_bus: instead of what the device states. Raises BadInput for a device that names no gang.
    """
    config, gang = memory_of(device)
    if own_bus is not None:
        gang = msgspec.structs.replace(gang, own_bus=own_bus)
    config = one_channel(config)
    parts = msgspec.json.encode((config, gang)), f"host {spaces} {RAMP} {INTERVALS}"
    return kept("pim", HostRate, lambda: _met(config, gang, spaces), *parts)


def _met(config: DramConfig, gang: Gang, spaces: int) -> HostRate:
    where = "other" if gangs_of(config, gang) > 1 else "same"
    found = meet(config, gang, where, spaces=spaces)
    return HostRate(alone=found.host_alone, beside=min(1.0, found.host / found.host_alone))
