"""What machines are: devices, memories, links and systems, as published.

`hardware.load` finds them by name: `from moesaic.hardware.load import device, system`.
"""

from .device import AnyDevice, Cache, Cpu, Device, Fpga, Gpu, Pim
from .link import Link
from .memory import Memory
from .system import System, Tier

__all__ = [
    "AnyDevice",
    "Cache",
    "Cpu",
    "Device",
    "Fpga",
    "Gpu",
    "Link",
    "Memory",
    "Pim",
    "System",
    "Tier",
]
