"""Memory: what a device keeps its weights and its KV cache in."""

from __future__ import annotations

from ..base import NonNegative, Positive, Spec


class Memory(Spec, frozen=True, kw_only=True):
    """A memory as its data sheet states it.

    technology: 'HBM3', 'GDDR6', 'DDR4' and so on; capacity in bytes; bandwidth of all its channels
    together, in bytes/s; `energy_j_per_byte` where a source gives one; `timing` names the DRAM
    config by which the memory core simulates it.
    """

    technology: str
    capacity_bytes: Positive
    bandwidth_bytes_per_s: Positive
    energy_j_per_byte: NonNegative | None = None
    timing: str | None = None
