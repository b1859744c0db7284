"""Link: how two devices reach each other."""

from __future__ import annotations

import msgspec

from ..base import NonNegative, Positive, Spec


class Link(Spec, frozen=True, kw_only=True):
    """One device's share of an interconnect.

    bandwidth: bytes/s that one device sends while it receives as much; latency: seconds from the
    start of a small message to its arrival; energy per byte sent where a source gives one.
    """

    name: str
    technology: str
    bandwidth_bytes_per_s: Positive
    latency_s: NonNegative
    energy_j_per_byte: NonNegative | None = None
    sources: dict[str, str] = msgspec.field(default_factory=dict)
