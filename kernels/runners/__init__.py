"""Where built kernels run: on the GPU of this machine."""

from .gpu import Gpu, local_gpu, measure, on_gpu

__all__ = ["Gpu", "local_gpu", "measure", "on_gpu"]
