"""NAME -> strategy: the one place to add one."""

from __future__ import annotations

from ...base import unknown
from .bayesian import bayesian
from .genetic import genetic
from .guided import guided
from .kernel_tuner import PREFIX, kernel_tuner
from .random import random
from .ranked import model, transfer
from .strategy import Strategy

STRATEGIES: dict[str, Strategy] = {
    "guided": guided,
    "random": random,
    "ga": genetic,
    "bo": bayesian,
    "transfer": transfer,
    "model": model,
}


def strategy_named(name: str) -> Strategy:
    """A strategy by its name; `kt-NAME` is Kernel Tuner's NAME. Raises BadInput for others."""
    if name.startswith(PREFIX):
        return kernel_tuner(name.removeprefix(PREFIX))
    if name not in STRATEGIES:
        raise unknown("strategy", name, [*STRATEGIES, f"{PREFIX}NAME"])
    return STRATEGIES[name]
