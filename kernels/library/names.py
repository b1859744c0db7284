"""NAME -> Kernel."""

from __future__ import annotations

from ...base import unknown
from .grouped_gemm import GROUPED_GEMM
from .kernel import Kernel

KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in (GROUPED_GEMM,)}


def kernel(name: str) -> Kernel:
    """The kernel called `name`; raises BadInput with the nearest names."""
    if name not in KERNELS:
        raise unknown("kernel", name, KERNELS)
    return KERNELS[name]
