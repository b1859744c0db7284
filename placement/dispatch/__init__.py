"""Who computes which tokens of a step, where weights may travel to them."""

from .llep import SpillPlan, spill, spill_map

__all__ = ["SpillPlan", "spill", "spill_map"]
