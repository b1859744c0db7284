"""Placements scored honestly: on requests that they were not made from."""

from .drift import Drift, drift
from .trials import Served, Trial, Trials, halves, run_trials, traffic, windows

__all__ = [
    "Drift",
    "Served",
    "Trial",
    "Trials",
    "drift",
    "halves",
    "run_trials",
    "traffic",
    "windows",
]
