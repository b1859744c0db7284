"""Real CUDA kernels of a mixture of experts: their sources, builds and limits."""

from .compiled import Build, Verdict, build, gate
from .library import KERNELS, Config, Kernel, Launch, kernel

__all__ = [
    "KERNELS",
    "Build",
    "Config",
    "Kernel",
    "Launch",
    "Verdict",
    "build",
    "gate",
    "kernel",
]
