"""A processor and the PIM on the same memory, at the rates that the memory leaves them."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice, Pim, System
from ...roofline.bound import Unit, units
from .rates import Rates, one_kind

Floats = NDArray[np.float64]

XPU_BYTES, XPU_FLOPS = "bytes of the xPU", "arithmetic of the xPU"
PIM_BYTES, PIM_FLOPS = "bytes of the PIM", "arithmetic of the PIM"
SLOWED = "slowed by the PIM"
"""Reasons for seconds in which one of the two is the longer one busy."""


def slowed(bytes_s: Floats, pim_s: Floats, beside: float) -> Floats:
    """Seconds that the xPU's `bytes_s` last longer because the PIM reads for `pim_s` of them.

    derived: it goes on at `beside` of its rate while the PIM is busy, then at its own: either all
    of it is stretched, or 1 - beside of the PIM's time is lost.
    """
    if beside == 1:
        return np.zeros_like(bytes_s)
    return np.minimum(bytes_s * (1 / beside - 1), (1 - beside) * pim_s)


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The units of one device at what its memory leaves them."""

    xpu: Unit
    pim: Unit | None
    rates: Rates

    def weights(self) -> tuple[Unit, Unit | None]:
        """Both units as they read weights."""
        return self._scaled(self.rates.share.weights, self.rates.pim_weights)

    def kv(self) -> tuple[Unit, Unit | None]:
        """Both units as they read caches."""
        return self._scaled(self.rates.share.kv, self.rates.pim_kv)

    def _scaled(self, share: float, pim_share: float) -> tuple[Unit, Unit | None]:
        return at_share(self.xpu, share), self.pim and at_share(self.pim, pim_share)


def at_share(unit: Unit, share: float) -> Unit:
    """The unit with a share of its bandwidth."""
    return Unit(unit.device, unit.bandwidth_bytes_per_s * share, unit.energy_j_per_byte)


def pair_of(device: AnyDevice, rates: Rates) -> Pair:
    """The pair of a device; a device without PIM is an xPU alone. Raises BadInput for a PIM that
    nobody does the rest for."""
    _host(device)  # refuses a PIM without one
    xpu, *pim = units(device)
    return Pair(xpu=xpu, pim=pim[0] if pim else None, rates=rates)


def pair_in(system: System, rates: Rates, *, alone: bool = False) -> Pair:
    """The pair that every device of the system is, at what its memory leaves it; alone: without
    the PIM units. Raises BadInput for devices of several kinds."""
    device = one_kind(system)
    return pair_of(_host(device) if alone else device, rates)


def hosts(system: System) -> System:
    """The same machine without its PIM units: each host on the memory that it shared, one object
    for all, which many need to look at once only. Raises BadInput for devices of several kinds."""
    devices = (_host(one_kind(system)),) * len(system.devices)
    return msgspec.structs.replace(system, devices=devices)


def _host(device: AnyDevice) -> AnyDevice:
    if not isinstance(device, Pim):
        return device
    if device.host is None:
        raise BadInput(
            "has no `host`: a processor on the same memory must run what its units cannot",
            key=device.name,
        )
    return msgspec.structs.replace(device.host, memory=device.memory)
