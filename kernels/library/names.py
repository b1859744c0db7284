"""NAME -> Kernel."""

from __future__ import annotations

from ...base import unknown
from .combine import COMBINE
from .count import COUNT
from .decode import DECODE
from .grouped_gemm import GROUPED_GEMM
from .kernel import Kernel
from .offsets import OFFSETS
from .permute import PERMUTE
from .route import ROUTE
from .split_reduce import SPLIT_REDUCE

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (ROUTE, COUNT, OFFSETS, PERMUTE, GROUPED_GEMM, SPLIT_REDUCE, DECODE, COMBINE)
}


def kernel(name: str) -> Kernel:
    """The kernel called `name`; raises BadInput with the nearest names."""
    if name not in KERNELS:
        raise unknown("kernel", name, KERNELS)
    return KERNELS[name]
