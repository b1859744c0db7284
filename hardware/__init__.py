"""What machines are: devices, memories, links and systems, as published."""

from .device import AnyDevice, Cache, Cpu, Device, Fpga, Gpu, Pim
from .link import Link
from .load import KINDS, device, link, names, system
from .local import local_cpu
from .memory import Memory
from .system import System, Tier

__all__ = [
    "KINDS",
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
    "device",
    "link",
    "local_cpu",
    "names",
    "system",
]
