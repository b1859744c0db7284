"""From source to cubin without a GPU, what the result needs to run, and whether it is right."""

from .arches import ARCHES, TARGETS, Arch, arch
from .build import Build, Resources, build, build_all
from .cache import NotKept
from .check import Checked, check, check_all
from .compiler import NoCompiler
from .execute import Fault, Run, execute
from .explain import Explained, explain
from .gate import Verdict, gate
from .sample import covering
from .targets import Target, target, targets

__all__ = [
    "ARCHES",
    "TARGETS",
    "Arch",
    "Build",
    "Checked",
    "Explained",
    "Fault",
    "NoCompiler",
    "NotKept",
    "Resources",
    "Run",
    "Target",
    "Verdict",
    "arch",
    "build",
    "build_all",
    "check",
    "check_all",
    "covering",
    "execute",
    "explain",
    "gate",
    "target",
    "targets",
]
