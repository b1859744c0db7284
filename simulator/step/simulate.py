"""Operators on devices and links in time: an OperatorTable -> Timeline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import Evidence
from ...hardware import System
from ...roofline import Efficiency, OperatorTable, bound
from ..timeline import Timeline

COMPUTE, LINK = range(2)


def simulate(
    table: OperatorTable, system: System, efficiency: Efficiency | None = None
) -> Timeline:
    """When each operator runs if each device works through its operators as early as it can.

    A device has a compute lane and a link lane; each runs its operators in the table's order, one
    at a time, and an operator starts when those it comes after are done. A collective starts when
    every device of its group is there, and holds the links of all of them until the last one's
    bytes are through. So shared experts hide behind the dispatch, and a slow rank is waited for.
    Times of single operators are those of `roofline.bound` under the same Efficiency.
    """
    estimate = bound(table, system, efficiency)
    seconds = estimate.operator_s
    shape = seconds.shape
    start, end = np.zeros(shape), np.zeros(shape)
    free = np.zeros((2, table.devices))
    for i, operator in enumerate(table.operators):
        ready = np.zeros(table.devices)
        for before in operator.after:
            np.maximum(ready, end[before], out=ready)
        if operator.group:
            for run in table.members(operator.group):
                begin = max(ready[run].max(), free[LINK, run].max())
                finish = begin + seconds[i, run].max()
                start[i, run], end[i, run], free[LINK, run] = begin, finish, finish
        else:
            busy = seconds[i] > 0
            begin = np.where(busy, np.maximum(ready, free[COMPUTE]), ready)
            start[i], end[i] = begin, begin + seconds[i]
            free[COMPUTE] = np.where(busy, end[i], free[COMPUTE])
    return _timeline(table, seconds, start, end, estimate.evidence)


def _timeline(
    table: OperatorTable,
    seconds: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    evidence: Evidence,
) -> Timeline:
    names = tuple(dict.fromkeys(operator.name for operator in table.operators))
    number = np.array([names.index(operator.name) for operator in table.operators])
    layer = np.array([operator.layer for operator in table.operators])
    lane = np.array([LINK if operator.group else COMPUTE for operator in table.operators])
    row, device = np.nonzero(seconds > 0)
    return Timeline(
        names=names,
        name=number[row],
        layer=layer[row],
        device=device,
        lane=lane[row],
        start_s=start[row, device],
        end_s=end[row, device],
        devices=table.devices,
        tokens=table.tokens,
        evidence="simulated" if evidence == "bound" else evidence,
    )
