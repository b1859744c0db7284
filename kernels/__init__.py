"""Real CUDA kernels of a mixture of experts: their sources, builds, limits, and checks."""

from .compiled import (
    Build,
    Checked,
    Explained,
    Run,
    Target,
    Verdict,
    build,
    check,
    execute,
    explain,
    gate,
    target,
)
from .library import KERNELS, Config, Kernel, Launch, kernel

__all__ = [
    "KERNELS",
    "Build",
    "Checked",
    "Config",
    "Explained",
    "Kernel",
    "Launch",
    "Run",
    "Target",
    "Verdict",
    "build",
    "check",
    "execute",
    "explain",
    "gate",
    "kernel",
    "target",
]
