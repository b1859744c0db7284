"""Processing in memory by closed form: bundles of banks, units."""

from .bundle import TIMINGS, Bundle, BundleBandwidth, Timing, bundle_bandwidth, row_period
from .units import LOGIC_DIE_M2, LOGIC_PIM, LOGIC_PIM_AREA_M2, Modules, area_share

__all__ = [
    "LOGIC_DIE_M2",
    "LOGIC_PIM",
    "LOGIC_PIM_AREA_M2",
    "TIMINGS",
    "Bundle",
    "BundleBandwidth",
    "Modules",
    "Timing",
    "area_share",
    "bundle_bandwidth",
    "row_period",
]
