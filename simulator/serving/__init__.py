"""Requests served in time: continuous batching over stages whose cost a machine states."""

from .costs import Priced, StageCosts
from .metrics import Metrics, Spread, metrics
from .schedulers import SCHEDULERS, Scheduler
from .serve import serve
from .served import Served

__all__ = [
    "SCHEDULERS",
    "Metrics",
    "Priced",
    "Scheduler",
    "Served",
    "Spread",
    "StageCosts",
    "metrics",
    "serve",
]
