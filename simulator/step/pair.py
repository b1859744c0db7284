"""A processor and the PIM on the same memory, at the rates that the memory leaves them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice, Pim, System
from ...roofline import Efficiency
from ...roofline.bound import Unit, units
from .rates import Rates

Floats = NDArray[np.float64]

XPU_BYTES, XPU_FLOPS = "bytes of the xPU", "arithmetic of the xPU"
PIM_BYTES, PIM_FLOPS = "bytes of the PIM", "arithmetic of the PIM"
SLOWED = "command bus shared with the PIM"
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
    """The units of one device. share: of its peak bandwidth that the xPU gets for each kind of
    stream; pim_share: that the PIM gets of its internal bandwidth; beside: of its rate that the xPU
    keeps while the PIM reads."""

    xpu: Unit
    pim: Unit | None
    share: Efficiency
    pim_share: float = 1.0
    beside: float = 1.0

    def weights(self) -> tuple[Unit, Unit | None]:
        """Both units as they read weights."""
        return self._scaled(self.share.weights)

    def kv(self) -> tuple[Unit, Unit | None]:
        """Both units as they read caches."""
        return self._scaled(self.share.kv)

    def _scaled(self, share: float) -> tuple[Unit, Unit | None]:
        pim = None if self.pim is None else at_share(self.pim, self.pim_share)
        return at_share(self.xpu, share), pim


def at_share(unit: Unit, share: float) -> Unit:
    """The unit with a share of its bandwidth."""
    return Unit(unit.device, unit.bandwidth_bytes_per_s * share, unit.energy_j_per_byte)


def pair_of(device: AnyDevice, rates: Rates) -> Pair:
    """The pair of a device; a device without PIM is an xPU alone. Raises BadInput for a PIM that
    nobody does the rest for."""
    found = units(device)
    if not isinstance(device, Pim):
        return Pair(xpu=found[0], pim=None, share=rates.share)
    if device.host is None:
        raise BadInput(
            "has no `host`: a processor on the same memory must run what its units cannot",
            key=device.name,
        )
    xpu, pim = found
    return Pair(xpu=xpu, pim=pim, share=rates.share, pim_share=rates.pim_share, beside=rates.beside)


class Pairs(msgspec.Struct, frozen=True):
    """The pairs of a system. kind `[devices]`: which of `of` each device is."""

    of: tuple[Pair, ...]
    kind: NDArray[np.int64]

    def among(self, ranks: NDArray[np.int64]) -> Iterator[tuple[Pair, NDArray[np.int64]]]:
        """The ranks of each kind of pair."""
        for kind, pair in enumerate(self.of):
            same = ranks[self.kind[ranks] == kind]
            if same.size:
                yield pair, same


def pairs_of(system: System, rates: Rates, *, alone: bool = False) -> Pairs:
    """The pairs of a system at what its memories leave them; alone: without the PIM units."""
    system = hosts(system) if alone else system
    kinds: list[AnyDevice] = []
    for device in system.devices:
        if device not in kinds:
            kinds.append(device)
    return Pairs(
        tuple(pair_of(device, rates) for device in kinds),
        np.array([kinds.index(device) for device in system.devices]),
    )


def hosts(system: System) -> System:
    """The same machine without its PIM units: each host on the memory that it shared."""
    devices: list[AnyDevice] = []
    for device in system.devices:
        host = device.host if isinstance(device, Pim) else device
        if host is None:
            raise BadInput("has no `host` to run alone", key=device.name)
        devices.append(
            host if host is device else msgspec.structs.replace(host, memory=device.memory)
        )
    return msgspec.structs.replace(system, devices=tuple(devices))
