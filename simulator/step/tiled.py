"""A whole step by its kernels: OperatorTable + System -> Estimate at detail 'tile'."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...base import BadInput
from ...hardware import System
from ...roofline import Efficiency, Estimate, OperatorTable
from ...roofline.prices import Price, prices
from ...roofline.reasons import critical_path, limiter_of, reasons
from ...roofline.shapes import Core, Routed
from ..gpu.ladder import EFFICIENCY, REASONS, TILES
from .kernel_calls import Floats
from .kernel_times import WITHIN_EXPERTS, Asked, KernelTimes, kernel_times


class Spent(NamedTuple):
    """Seconds beyond the roofline by reason, `[REASONS, operators, classes]`, and the ends of the
    80% interval of each operator's whole time, `[2, operators, classes]`."""

    beyond: Floats
    ends: Floats


def tile(
    table: OperatorTable,
    system: System,
    efficiency: Efficiency | None = None,
    backend: str = "",
) -> Estimate:
    """The time of a step whose products, routed experts and attention run at the tile models' pace.

    Constants are those of the family that `backend` runs ('' for the first framework measured on
    the GPU), or the prior. What only moves bytes is priced as a stream; collectives are those of
    the bound. `why` holds the roofline's terms and, beside them, what each effect adds;
    `interval_s` takes the errors of all kernels as alike, so it is wide. Raises BadInput for
    devices that are no GPU and for an Efficiency, which shapes the bound.
    """
    if efficiency is not None:
        raise BadInput("shapes the bound; detail 'tile' has constants of its own", key="efficiency")
    price, _ = prices(table, system, Efficiency())
    (times,) = kernel_times([Asked(table, system, price)], backend)
    if isinstance(times, BadInput):
        raise times
    spent = spent_of(table, price, times)
    beyond: dict[str, Floats] = {
        reason: values[:, times.of] for reason, values in zip(REASONS, spent.beyond, strict=True)
    }
    seconds = price.total + sum(beyond.values())
    path = critical_path(table, seconds)
    why = reasons(table, price, seconds, path, beyond=beyond)
    low, high = spent.ends[:, np.arange(path.size), times.of[path]].sum(axis=1)
    return Estimate(
        seconds=sum(why.values()),
        why=why,
        limiter=limiter_of(why),
        energy_j=None,
        operator_s=seconds,
        table=table,
        evidence="simulated",
        kernels=times.families,
        interval_s=(float(low), float(high)),
    )


def spent_of(table: OperatorTable, price: Price, times: KernelTimes) -> Spent:
    """What kernels take beyond their operators' roofline: the rest, when all reasons are gone, is
    padding of tiles, or what a stream lacks of the bandwidth."""
    beyond = times.seconds.copy()
    whole = np.asarray(sum(times.seconds))
    ran = whole > 0
    roofline_s = np.where(ran, _roofline_s(table, price, times), 0.0)
    streams = np.array([operator.shape is None for operator in table.operators])
    beyond[REASONS.index(EFFICIENCY), streams] -= roofline_s[streams]
    beyond[REASONS.index(TILES), ~streams] -= roofline_s[~streams]
    total = price.total[:, times.first] + sum(beyond)
    return Spent(beyond, np.where(ran, total + (times.ends - whole), total))


def _roofline_s(table: OperatorTable, price: Price, times: KernelTimes) -> Floats:
    """The roofline of what each operator's kernel does: `[operators, classes]`.

    The products that carry queries into a latent are others: their weights are read apart.
    """
    total, weights = price.total[:, times.first], price.weights[:, times.first]
    seconds: Floats = total.copy()
    for i, operator in enumerate(table.operators):
        if isinstance(operator.shape, Core):
            seconds[i] = np.maximum(total[i] - weights[i], 0.0)
        elif isinstance(operator.shape, Routed) and operator.name not in WITHIN_EXPERTS:
            for j in range(i + 1, len(table.operators)):
                after = table.operators[j]
                if after.layer != operator.layer or after.name == operator.name:
                    break
                if after.name in WITHIN_EXPERTS:
                    seconds[i] += total[j]
    return seconds
