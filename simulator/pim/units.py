"""Compute and area of the units of a Logic-PIM stack, from their parts."""

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

LOGIC_PIM_AREA_M2 = {
    "TSV": 10.89e-6,
    "GEMM modules": 3.02e-6,
    "buffers": 2.26e-6,
    "softmax": 1.64e-6,
}
"""What Logic-PIM adds to the logic die of one stack (Duplex, arXiv 2409.01141)."""

LOGIC_DIE_M2 = 121e-6
"""The logic die that the parts stand on (Duplex, arXiv 2409.01141)."""


def area_share(parts: dict[str, float], die_m2: float) -> float:
    """Area of all parts together over that of the die."""
    return sum(parts.values()) / die_m2
