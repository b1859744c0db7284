"""What machines are: devices, memories, links and systems, as published, and DRAM as data.

`hardware.load` finds them by name: `from moesaic.hardware.load import device, system`.
"""

from .device import AnyDevice, Cache, Cpu, Device, Fpga, Gpu, Pim
from .dram import DramConfig, DramTiming, Standard
from .dram_tables import DramTables, dram_tables
from .gang import Gang
from .link import Link
from .memory import Memory
from .system import System, Tier

__all__ = [
    "AnyDevice",
    "Cache",
    "Cpu",
    "Device",
    "DramConfig",
    "DramTables",
    "DramTiming",
    "Fpga",
    "Gang",
    "Gpu",
    "Link",
    "Memory",
    "Pim",
    "Standard",
    "System",
    "Tier",
    "dram_tables",
]
