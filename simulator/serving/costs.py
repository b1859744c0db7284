"""What a stage costs: the one question that serving asks of a machine."""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Time and energy of consecutive stages, float64 `[stages]`; energy is NaN where unknown."""

    seconds: NDArray[np.float64]
    energy_j: NDArray[np.float64]


class StageCosts(Protocol):
    """A machine that runs a model. Equal questions get equal answers: a run of stages may be
    asked for in any pieces, and longer than it turns out to be. `evidence`: of its prices."""

    @property
    def evidence(self) -> Evidence: ...

    def decode(self, requests: int, contexts: NDArray[np.int64]) -> Priced:
        """Consecutive stages in which `requests` requests make a token each; contexts `[stages]`:
        cached tokens of all of them together before each stage."""
        ...

    def mixed(self, requests: int, context: int, prompts: tuple[tuple[int, int], ...]) -> Priced:
        """One stage: (tokens now, tokens cached) of each prompt, beside `requests` decoding ones
        (may be 0) whose cached tokens sum to `context`."""
        ...


def checked(priced: Priced, stages: int) -> Priced:
    """The answer of a StageCosts, refused where it is none."""
    seconds = priced.seconds
    if seconds.shape != (stages,) or priced.energy_j.shape != (stages,):
        raise BadInput(
            f"must price {stages} stages, got {seconds.shape} seconds and "
            f"{priced.energy_j.shape} joules",
            key="costs",
        )
    wrong = ~(np.isfinite(seconds) & (seconds > 0))
    if wrong.any():
        raise BadInput(
            "must give each stage a positive, finite time", key="costs", value=seconds[wrong][0]
        )
    if (priced.energy_j < 0).any() or np.isinf(priced.energy_j).any():
        raise BadInput("must give energies that are finite, and not negative", key="costs")
    return priced
