"""A step in time: estimates at every detail, and the timeline of all devices."""

from .estimate import DETAILS, estimate
from .simulate import simulate

__all__ = ["DETAILS", "estimate", "simulate"]
