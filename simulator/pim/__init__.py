"""Processing in memory by closed form: bundles of banks, units, experts shared with the xPU."""

from .bundle import TIMINGS, Bundle, BundleBandwidth, Timing, bundle_bandwidth, row_period
from .split import Split, split_by_rule
from .units import LOGIC_DIE_M2, LOGIC_PIM, LOGIC_PIM_AREA_M2, Modules, area_share

__all__ = [
    "LOGIC_DIE_M2",
    "LOGIC_PIM",
    "LOGIC_PIM_AREA_M2",
    "TIMINGS",
    "Bundle",
    "BundleBandwidth",
    "Modules",
    "Split",
    "Timing",
    "area_share",
    "bundle_bandwidth",
    "row_period",
    "split_by_rule",
]
