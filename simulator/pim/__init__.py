"""Processing in memory: gangs of banks by closed form and on the memory core, units."""

from .area import LOGIC_DIE_M2, LOGIC_PIM_AREA_M2, area_share
from .bundle import BundleBandwidth, bundle_bandwidth, row_period
from .gangs import banks_of, host_stream, rows_in_turn
from .host import HostRate, host_rate
from .paced import Paced, paced
from .rates import PimRate, pim_rate
from .units import LOGIC_PIM, Modules

__all__ = [
    "LOGIC_DIE_M2",
    "LOGIC_PIM",
    "LOGIC_PIM_AREA_M2",
    "BundleBandwidth",
    "HostRate",
    "Modules",
    "Paced",
    "PimRate",
    "area_share",
    "banks_of",
    "bundle_bandwidth",
    "host_rate",
    "host_stream",
    "paced",
    "pim_rate",
    "row_period",
    "rows_in_turn",
]
