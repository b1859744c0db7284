"""How closely the stages of a serving study are looked at: a detail's name -> StageCosts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...base import unknown
from ...hardware import System
from ...workload import MoEModel, Parallel
from .costs import StageCosts
from .estimated import EstimatedCosts

COSTS: dict[str, Callable[[MoEModel, System, Parallel], StageCosts]] = {
    "bound": partial(EstimatedCosts, detail="bound"),
    "tile": partial(EstimatedCosts, detail="tile"),
}


def costs_of(detail: str, model: MoEModel, system: System, parallel: Parallel) -> StageCosts:
    """The costs of the model's stages on the machine, at that detail."""
    if detail not in COSTS:
        raise unknown("detail of a stage", detail, COSTS, key="--detail")
    return COSTS[detail](model, system, parallel)
