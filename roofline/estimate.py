"""Estimate: how long, how much energy, what limits it, and why."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import Evidence
from .table import OperatorTable


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The time of one step and its reasons.

    seconds: of the step. why: seconds by reason, 'part: resource'; the terms sum to `seconds`.
    limiter: the resource with the largest sum over the parts. energy_j: of all devices, None where
    a constant is missing. operator_s: `[operators, devices]`, each operator alone. table: what
    was priced. evidence: 'bound' for the roofline, 'simulated' once an efficiency enters. kernels:
    which kernel family a part was priced as, at details that know families; interval_s: between
    which seconds the step lies with 80% confidence, where the detail knows.
    """

    seconds: float
    why: dict[str, float]
    limiter: str
    energy_j: float | None
    operator_s: NDArray[np.float64]
    table: OperatorTable
    evidence: Evidence
    kernels: dict[str, str] = {}
    interval_s: tuple[float, float] | None = None

    @property
    def tokens_per_s(self) -> float:
        """Tokens of the step per second: prompt tokens computed plus tokens generated."""
        return self.table.tokens / self.seconds

    def by_part(self) -> dict[str, float]:
        """`why` summed over resources: seconds by part of the model."""
        return _summed(self.why, 0)

    def by_resource(self) -> dict[str, float]:
        """`why` summed over parts: seconds by resource."""
        return _summed(self.why, 1)


def _summed(why: dict[str, float], field: int) -> dict[str, float]:
    out: dict[str, float] = {}
    for key, seconds in why.items():
        name = key.split(": ", 1)[field]
        out[name] = out.get(name, 0.0) + seconds
    return dict(sorted(out.items(), key=lambda item: -item[1]))
