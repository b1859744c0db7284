"""Ways to place experts."""

from .found import Found, Method
from .solve import METHODS, solve

__all__ = ["METHODS", "Found", "Method", "solve"]
