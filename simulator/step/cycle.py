"""A step whose memories are simulated command by command: OperatorTable + System -> Estimate."""

from __future__ import annotations

import numpy as np

from ...hardware import System
from ...roofline import Estimate, OperatorTable
from ...roofline.prices import prices
from ...roofline.reasons import critical_path, limiter_of, reasons
from ...roofline.shapes import Core, Routed
from .attention_pair import core_times
from .expert_layer import ExpertLayer, ExpertTimes, loads_of
from .pair import hosts, pair_in
from .policies import policy_of
from .rates import Rates
from .spent import Spent


def cycle(
    table: OperatorTable,
    system: System,
    rates: Rates,
    *,
    units: str = "",
    seed: int = 0,
) -> Estimate:
    """The time of a step on pairs of an xPU and a PIM, or on xPUs alone.

    Both units get what the memory core leaves them of their bandwidths. Experts and the attention
    of decoding requests may run on the PIM, as the policy `units` says; all else runs on the xPU at
    its roofline. The routing is drawn token by token where the step holds expectations, and every
    device waits for the slowest after each layer of experts, so that imbalance counts: the mean
    over `draws_of` batches. Arithmetic runs at the units' peaks, links as in the bound. Raises
    BadInput for devices of several kinds.
    """
    policy = policy_of(units)
    pair = pair_in(system, rates, alone=policy.share is None)
    price, _ = prices(table, hosts(system), rates.share)
    spent = Spent.of(table, price)
    times: dict[int, ExpertTimes] = {}
    for i, operator in enumerate(table.operators):
        ranks = np.flatnonzero(price.total[i] > 0)
        if not ranks.size:
            continue
        if isinstance(operator.shape, Core):
            core = core_times(operator.shape, table, i, ranks, pair)
            spent.attend(i, ranks, core, policy.together)
        elif isinstance(operator.shape, Routed):
            if id(operator.shape) not in times:
                layer = ExpertLayer.of(operator.shape, operator.dtype, pair, policy)
                times[id(operator.shape)] = layer.times(loads_of(operator.shape, seed))
            spent.experts(i, ranks, times[id(operator.shape)])
    seconds = spent.price.total + sum(spent.beyond.values())
    path = critical_path(table, seconds)
    why = reasons(table, spent.price, seconds, path, apart=False, beyond=spent.beyond)
    return Estimate(
        seconds=sum(why.values()),
        why=why,
        limiter=limiter_of(why),
        energy_j=spent.energy_j(system),
        operator_s=seconds,
        table=table,
        evidence="simulated",
    )
