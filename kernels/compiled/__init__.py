"""From source to cubin without a GPU, and what the result needs to run."""

from .arches import ARCHES, Arch, arch
from .build import Build, Resources, build
from .execute import Counters, Fault, Line, Run, execute
from .gate import Verdict, gate

__all__ = [
    "ARCHES",
    "Arch",
    "Build",
    "Counters",
    "Fault",
    "Line",
    "Resources",
    "Run",
    "Verdict",
    "arch",
    "build",
    "execute",
    "gate",
]
