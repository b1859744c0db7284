"""Tuning: what was tried, in order, and what came of it."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.evidence import Evidence
from .runner import Trial


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """about: the runner's. trials: each configuration once, in the order in which they were asked
    for. taught_by: names of the teachers. stopped: broken off by hand, before the budget was spent.
    """

    space: str
    about: dict[str, str]
    evidence: Evidence
    strategy: str
    seed: int
    budget: int
    trials: tuple[Trial, ...]
    taught_by: tuple[str, ...] = ()
    stopped: bool = False

    @property
    def best(self) -> Trial:
        """The fastest. Raises BadInput where none ran."""
        ran = [trial for trial in self.trials if trial.status == "ok"]
        if not ran:
            raise BadInput(
                f"none of {len(self.trials)} configurations ran"
                + (f"; the last one: {self.trials[-1].reason}" if self.trials else ""),
                key=self.space,
            )
        return min(ran, key=lambda trial: trial.seconds)

    @property
    def progress(self) -> NDArray[np.float64]:
        """The best seconds after each trial `[trials]`; inf before the first that ran."""
        return np.minimum.accumulate([trial.seconds for trial in self.trials])
