"""How fast in truth: operators on devices and links in time."""

from .step import DETAILS, estimate, simulate
from .timeline import LANES, Timeline

__all__ = ["DETAILS", "LANES", "Timeline", "estimate", "simulate"]
