"""The kernels: what each computes, its parameters, its limits."""

from .kernel import Config, Constraint, Kernel, Launch
from .names import KERNELS, kernel

__all__ = ["KERNELS", "Config", "Constraint", "Kernel", "Launch", "kernel"]
