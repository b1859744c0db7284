"""Compute of the units of a Logic-PIM stack, from their parts."""

from __future__ import annotations

from ...base import Count, Positive, Spec


class Modules(Spec, frozen=True, kw_only=True):
    """GEMM modules of one stack: each multiplies and adds `macs` pairs a cycle."""

    modules: Count
    macs: Count
    clock_hz: Positive

    @property
    def flops_per_s(self) -> float:
        """Peak of the stack, a multiply-add counted as two."""
        return 2.0 * self.modules * self.macs * self.clock_hz

    def operations_per_byte(self, bytes_per_s: float) -> float:
        """Operations on each byte at which compute and a stack's `bytes_per_s` take equal time."""
        return self.flops_per_s / bytes_per_s


LOGIC_PIM = Modules(modules=32, macs=512, clock_hz=650e6)
"""Logic-PIM of one HBM3 stack (Duplex, arXiv 2409.01141): 21.3 TFLOP/s; tCCD_S sets the clock."""
