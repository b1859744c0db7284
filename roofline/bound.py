"""OperatorTable + System -> Estimate: the roofline, operator by operator, and its reasons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import System
from .efficiency import Efficiency
from .energy import joules, links_j
from .estimate import Estimate
from .prices import Unit, prices, units
from .reasons import MORE_EXPERTS, WEIGHTS, critical_path, limiter_of, reasons
from .table import OperatorTable

__all__ = ["Unit", "bound", "joules_of", "spent_by_resource", "units"]


def bound(table: OperatorTable, system: System, efficiency: Efficiency | None = None) -> Estimate:
    """The time of a step whose operators run one after another, each at the roofline.

    No device with these peaks runs this list of operators in this order faster. A program that
    overlaps links with arithmetic, keeps activations on the die across operators (fusion), or
    reduces inside a switch runs another list; `simulator.simulate` overlaps.

    An operator takes the largest of flops / tensor peak, bytes / memory bandwidth and bytes / cache
    bandwidth (Williams et al., Roofline, CACM 2009); a collective takes the bytes of its busiest
    tier over that link plus one latency, and starts when the last device of its group is there.
    Activations that fit in the last-level cache never reach memory. On a device with PIM each
    operator runs on the faster of the two units; that is no bound on both sharing one operator,
    which detail 'cycle' of the simulator looks at. With an Efficiency below one the result is no
    bound but a simulation.
    """
    efficiency = efficiency or Efficiency()
    if table.devices > len(system.devices) or table.link_bytes.shape[2] != len(system.tiers):
        raise BadInput(
            f"has {len(system.devices)} devices in {len(system.tiers)} tiers; the operators were "
            f"made for {table.devices} in {table.link_bytes.shape[2]}",
            key=system.name,
        )
    price, chosen = prices(table, system, efficiency)
    seconds = price.total
    path = critical_path(table, seconds)
    why = reasons(table, price, seconds, path)
    whole = efficiency == Efficiency(evidence=efficiency.evidence)
    return Estimate(
        seconds=sum(why.values()),
        why=why,
        limiter=limiter_of(why),
        energy_j=_energy(table, system, chosen),
        operator_s=seconds,
        table=table,
        evidence="bound" if whole else "simulated",
    )


def spent_by_resource(table: OperatorTable, system: System) -> dict[str, float]:
    """The seconds of `bound` by resource; no imbalance and no further experts among them: these
    count with what the critical device spends them on."""
    price, _ = prices(table, system, Efficiency())
    path = critical_path(table, price.total)
    why = reasons(table, price, price.total, path, apart=False)
    sums: dict[str, float] = {}
    for key, seconds in why.items():
        resource = key.split(": ", 1)[1]
        resource = WEIGHTS if resource == MORE_EXPERTS else resource
        sums[resource] = sums.get(resource, 0.0) + seconds
    return sums


def joules_of(table: OperatorTable, system: System) -> float | None:
    """`energy_j` of `bound` alone."""
    return _energy(table, system, prices(table, system, Efficiency())[1])


def _energy(table: OperatorTable, system: System, chosen: NDArray[np.int64]) -> float | None:
    """Joules of arithmetic, memory and links from published constants; None where one lacks.

    Every byte is priced as one from memory, those that a cache would hold too.
    """
    work = np.stack([table.flops, table.moved_bytes])
    total = links_j(table.link_bytes.sum(axis=(0, 1)), system)
    for rank in range(table.devices):
        for u, unit in enumerate(units(system.devices[rank])):
            done = work[:, chosen[:, rank] == u, rank].sum(axis=1)
            total += float(joules(unit, done))
    return None if np.isnan(total) else total
