"""Where built kernels run: on the GPU of this machine."""

from .gpu import Numerics, check, local_arch

__all__ = ["Numerics", "check", "local_arch"]
