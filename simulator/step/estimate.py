"""One door for speed: a model, a step, a system and the detail asked -> Estimate."""

from __future__ import annotations

from collections.abc import Callable

from ...base import BadInput, unknown
from ...hardware import System
from ...roofline import Efficiency, Estimate, OperatorTable, bound, fit, operators
from ...workload import ExpertMap, MoEModel, Parallel, Step
from .tiled import tile

Pricing = Callable[[OperatorTable, System, Efficiency | None], Estimate]

DETAILS: dict[str, Pricing] = {"bound": bound, "tile": tile}
"""How closely a step is looked at. 'bound': the roofline of every operator. 'tile': GPU kernels by
their tiles, with constants fitted on measurements."""


def estimate(
    model: MoEModel,
    step: Step,
    system: System,
    *,
    parallel: Parallel | None = None,
    expert_map: ExpertMap | None = None,
    detail: str = "bound",
    efficiency: Efficiency | None = None,
    kernels: str = "",
    ignore_capacity: bool = False,
) -> Estimate:
    """The time of one forward pass and its reasons.

    kernels: the framework whose kernels run, at detail 'tile' ('' for the first one measured).
    Raises BadInput for a split that does not divide, an unknown detail, and, unless
    `ignore_capacity`, a model that does not fit (it says by how much).
    """
    if detail not in DETAILS:
        raise unknown("detail", detail, DETAILS, key="--detail")
    if kernels and detail != "tile":
        raise BadInput("goes with --detail tile", key="--kernels", value=kernels)
    parallel = parallel or Parallel()
    table = operators(model, step, system, parallel, expert_map)
    if not ignore_capacity:
        fit(model, table, system, parallel, expert_map).demand(system)
    if kernels:
        return tile(table, system, efficiency, kernels)
    return DETAILS[detail](table, system, efficiency)
