"""Rates: what the memory core leaves a processor and its PIM of their bandwidths."""

from __future__ import annotations

import msgspec

from ...base import BadInput
from ...hardware import AnyDevice, Pim, System
from ...roofline import Efficiency
from ...workload import MoEModel
from ..memory import Controller, system_efficiency
from ..pim import host_rate, pim_rate

MAP = "line-hashed"
CONTROLLER = Controller(read_queue=64, write_queue=64)
"""How a processor's memory is addressed and queued unless said otherwise: channels change from one
cache line to the next, by a hash, as those of GPUs do."""
CACHE_SPACES = 3
"""Bundles of a pseudo channel that hold the caches (Duplex, arXiv 2409.01141); the fourth holds
what a prefill makes."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """share: of the processor's peak bandwidth by kind of stream; pim_weights, pim_kv: of the PIM's
    internal bandwidth, 1 where there is none. beside: of its own rate that the processor keeps
    while the PIM reads other banks, 1 where they share no bus."""

    share: Efficiency
    pim_weights: float = 1.0
    pim_kv: float = 1.0
    beside: float = 1.0


def one_kind(system: System) -> AnyDevice:
    """The device that all of the system's equal, for rates are those of one; else BadInput."""
    device = system.devices[0]
    if any(other != device for other in system.devices):
        raise BadInput("has devices of several kinds; detail 'cycle' takes one", key=system.name)
    return device


def memory_rates(
    system: System,
    model: MoEModel,
    share: Efficiency | None = None,
    *,
    spaces: int = 2,
    alone: bool = False,
) -> Rates:
    """The rates of the memory that the system's devices have. share: given instead of simulated;
    spaces: gangs that the PIM's rows of weights come from in turn; caches lie in `CACHE_SPACES`.
    alone: the PIM idles, so that nobody asks what it gets.

    Raises BadInput for a memory that names no timing set, for a PIM without a gang, and for devices
    of several kinds.
    """
    device = one_kind(system)
    found = share or system_efficiency(system, model, CONTROLLER, map_name=MAP)
    if alone or not isinstance(device, Pim):
        return Rates(share=found)
    weights, kv = (pim_rate(device, each).share_of_peak for each in (spaces, CACHE_SPACES))
    beside = host_rate(device, spaces).beside
    return Rates(share=found, pim_weights=weights, pim_kv=kv, beside=beside)
