"""System: devices in tiers, and the link between any two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from ..base import BadInput, Count, NonNegative, Positive, Spec
from .device import AnyDevice, Cpu
from .link import Link


class Tier(Spec, frozen=True, kw_only=True):
    """`size` neighbours of the next inner tier (devices, for the first) joined by a link."""

    name: str
    size: Count
    link: Link


class System(Spec, frozen=True, kw_only=True):
    """Devices by rank, and tiers from the innermost ('node') outwards ('rack').

    Device r and device s meet in the first tier whose group holds both; tiers multiply to the
    number of devices. `host` is the CPU of a node, `host_link` a device's way to its memory.
    """

    name: str
    devices: tuple[AnyDevice, ...]
    tiers: tuple[Tier, ...] = ()
    host: Cpu | None = None
    host_link: Link | None = None
    power_w: Positive | None = None
    price_usd_per_hour: NonNegative | None = None
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.devices:
            raise ValueError("`devices` must hold at least one device")
        joined = math.prod(tier.size for tier in self.tiers)
        if joined != len(self.devices):
            raise ValueError(
                f"`tiers` join {joined} devices (the product of their sizes), but `devices` holds "
                f"{len(self.devices)}"
            )

    def tier(self, a: int, b: int) -> Tier:
        """The innermost tier in which devices `a` and `b` (ranks, not equal) meet."""
        self._check(a, b)
        width = 1
        for tier in self.tiers:
            width *= tier.size
            if a // width == b // width:
                return tier
        raise BadInput("meets itself in no tier", key=self.name, value=a)

    def bandwidth(self, a: int, b: int) -> float:
        """Bytes/s from device `a` to device `b`."""
        self._check(a, b)
        if a == b:
            return self.devices[a].memory.bandwidth_bytes_per_s
        return self.tier(a, b).link.bandwidth_bytes_per_s

    def latency(self, a: int, b: int) -> float:
        """Seconds until a small message from device `a` reaches device `b`."""
        return 0.0 if a == b else self.tier(a, b).link.latency_s

    def spans(self, ranks: Sequence[int]) -> list[tuple[Tier, int]]:
        """The tiers that a group of ranks crosses, innermost first, with its width in each.

        The width of a tier is the largest number of inner groups that the ranks occupy inside one
        group of the tier; tiers of width 1 are left out. A group inside one device crosses none.
        """
        self._check(*ranks)
        crossed: list[tuple[Tier, int]] = []
        inner = 1
        for tier in self.tiers:
            outer = inner * tier.size
            members: dict[int, set[int]] = {}
            for rank in ranks:
                members.setdefault(rank // outer, set()).add(rank // inner)
            width = max((len(group) for group in members.values()), default=0)
            if width > 1:
                crossed.append((tier, width))
            inner = outer
        return crossed

    def _check(self, *ranks: int) -> None:
        for rank in ranks:
            if not 0 <= rank < len(self.devices):
                raise BadInput(
                    f"has the devices 0 to {len(self.devices) - 1}", key=self.name, value=rank
                )
