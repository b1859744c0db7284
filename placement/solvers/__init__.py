"""Ways to place experts."""

from .solve import METHODS, Found, Method, solve

__all__ = ["METHODS", "Found", "Method", "solve"]
