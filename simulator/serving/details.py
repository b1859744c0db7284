"""How closely the stages of a serving study are looked at: a detail's name -> StageCosts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...base import BadInput, unknown
from ...hardware import System
from ...workload import MoEModel, Parallel
from ..step.policies import policy_of
from ..step.rates import memory_rates
from .costs import StageCosts
from .cycle_costs import CycleCosts
from .estimated import EstimatedCosts


def _cycle(
    model: MoEModel, system: System, parallel: Parallel, *, units: str, seed: int
) -> StageCosts:
    rates = memory_rates(system, model, alone=policy_of(units).share is None)
    return CycleCosts(model, system, parallel, rates, units=units, seed=seed)


def _estimated(
    model: MoEModel, system: System, parallel: Parallel, *, units: str, seed: int, detail: str
) -> StageCosts:
    if units:
        raise BadInput("goes with --detail cycle", key="--units", value=units)
    return EstimatedCosts(model, system, parallel, detail=detail)


COSTS: dict[str, Callable[..., StageCosts]] = {
    "bound": partial(_estimated, detail="bound"),
    "tile": partial(_estimated, detail="tile"),
    "cycle": _cycle,
}
"""Called with model, system, parallel, and the words units and seed."""


def costs_of(
    detail: str,
    model: MoEModel,
    system: System,
    parallel: Parallel,
    *,
    units: str = "",
    seed: int = 0,
) -> StageCosts:
    """The costs of the model's stages on the machine, at that detail.

    units: who works, and seed: of drawn routing, both at detail 'cycle'.
    """
    if detail not in COSTS:
        raise unknown("detail of a stage", detail, COSTS, key="--detail")
    return COSTS[detail](model, system, parallel, units=units, seed=seed)
