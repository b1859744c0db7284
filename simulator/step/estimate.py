"""One door for speed: a model, a step, a system and the detail asked -> Estimate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...base import BadInput, unknown
from ...hardware import System
from ...roofline import Efficiency, Estimate, OperatorTable, bound, fit, operators
from ...workload import ExpertMap, MoEModel, Parallel, Step
from .cycle import cycle
from .policies import policy_of
from .rates import memory_rates
from .tiled import tile


def _cycle(
    table: OperatorTable,
    system: System,
    efficiency: Efficiency | None,
    *,
    model: MoEModel,
    units: str,
    seed: int,
) -> Estimate:
    alone = policy_of(units).share is None
    rates = memory_rates(system, model, efficiency, alone=alone)
    return cycle(table, system, rates, units=units, seed=seed)


DETAILS: dict[str, Callable[..., Estimate]] = {"bound": bound, "tile": tile, "cycle": _cycle}
"""How closely a step is looked at: callables of an OperatorTable, a System and an Efficiency or
None. 'bound': the roofline of every operator. 'tile': GPU kernels by their tiles, with constants
fitted on measurements. 'cycle': memories command by command, experts and attention shared between a
processor and its PIM, routing drawn."""


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
    units: str = "",
    seed: int = 0,
    ignore_capacity: bool = False,
) -> Estimate:
    """The time of one forward pass and its reasons.

    kernels: the framework whose kernels run, at detail 'tile' ('' for the first one measured).
    units: who works at detail 'cycle', of `policies.POLICIES` ('' for the first of a PIM's that
    shares experts); seed: of its drawn routing; efficiency: what the memory core leaves the
    processor, simulated for the machine's memory where None.
    Raises BadInput for a split that does not divide, an unknown detail, and, unless
    `ignore_capacity`, a model that does not fit (it says by how much).
    """
    if detail not in DETAILS:
        raise unknown("detail", detail, DETAILS, key="--detail")
    for key, given, only in (("kernels", kernels, "tile"), ("units", units, "cycle")):
        if given and detail != only:
            raise BadInput(f"goes with --detail {only}", key=f"--{key}", value=given)
    parallel = parallel or Parallel()
    table = operators(model, step, system, parallel, expert_map)
    if not ignore_capacity:
        fit(model, table, system, parallel, expert_map).demand(system)
    words: dict[str, dict[str, Any]] = {
        "tile": {"backend": kernels},
        "cycle": {"model": model, "units": units, "seed": seed},
    }
    return DETAILS[detail](table, system, efficiency, **words.get(detail, {}))
