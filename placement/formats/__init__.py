"""Placement files that engines load."""

from . import sglang
from .sidecar import Sidecar

__all__ = ["Sidecar", "sglang"]
