"""Ways to place experts."""

from .found import Found, Method
from .solve import METHODS, relaxed_caps, solve

__all__ = ["METHODS", "Found", "Method", "relaxed_caps", "solve"]
