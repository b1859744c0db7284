"""The seconds and joules of a step's operators, where pairs of units share some of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...hardware import System
from ...roofline import OperatorTable
from ...roofline.energy import joules, links_j
from ...roofline.prices import Price, units
from .attention_pair import CoreTimes
from .expert_layer import UNEVEN, ExpertTimes
from .pair import PIM_BYTES, PIM_FLOPS, SLOWED, XPU_BYTES, XPU_FLOPS

Floats = NDArray[np.float64]
Ranks = NDArray[np.int64]

WHOLE, PART = "experts.gate_up", "experts.down"
"""An expert's products are shared out together: the first stands for both."""


@dataclass
class Spent:
    """price: of what the xPU does as the roofline has it; beyond: seconds of all else by reason,
    both `[operators, devices]`. on_pim: the flops and the bytes of attention that a PIM took over,
    `[2, devices]`; experts_j: joules of the routed experts, NaN where a constant lacks."""

    table: OperatorTable
    price: Price
    beyond: dict[str, Floats]
    on_pim: Floats
    experts_j: float = 0.0

    @classmethod
    def of(cls, table: OperatorTable, price: Price) -> Spent:
        shape = price.total.shape
        own = {name: getattr(price, name).copy() for name in Price.__struct_fields__}
        reasons = (XPU_BYTES, XPU_FLOPS, PIM_BYTES, PIM_FLOPS, SLOWED, UNEVEN)
        beyond = {reason: np.zeros(shape) for reason in reasons}
        return cls(table, Price(**own), beyond, np.zeros((2, table.devices)))

    def attend(self, i: int, ranks: Ranks, times: CoreTimes, together: bool) -> None:
        """Attention i: its decoding requests leave the xPU where the PIM is the better place."""
        gone = times.on_pim(together)
        self._clear(i, ranks)
        for there, parts in ((gone, times.shared(together)), (~gone, times.alone())):
            for reason, seconds in parts.items():
                self.beyond[reason][i, ranks[there]] = seconds[there]
        taken = np.stack([times.decode_flops, times.decode_bytes])
        self.on_pim[:, ranks[gone]] += taken[:, gone]

    def experts(self, i: int, ranks: Ranks, times: ExpertTimes) -> None:
        """The routed experts i; all devices wait for the slowest, so each spends its time."""
        self._clear(i, ranks)
        if self.table.operators[i].name != WHOLE:
            return
        for reason, seconds in times.why.items():
            self.beyond[reason][i, ranks] = seconds
        self.experts_j += np.nan if times.energy_j is None else float(times.energy_j.mean())

    def _clear(self, i: int, ranks: Ranks) -> None:
        for name in Price.__struct_fields__:
            getattr(self.price, name)[i, ranks] = 0.0

    def energy_j(self, system: System) -> float | None:
        """Joules of arithmetic, memory and links from published constants; None where one lacks."""
        table = self.table
        rest = np.array([op.name not in (WHOLE, PART) for op in table.operators])
        work = np.stack([table.flops[rest].sum(axis=0), table.moved_bytes[rest].sum(axis=0)])
        total = self.experts_j + links_j(table.link_bytes.sum(axis=(0, 1)), system)
        for rank in range(table.devices):
            xpu, *pim = units(system.devices[rank])
            total += float(joules(xpu, work[:, rank] - self.on_pim[:, rank]))
            if pim:
                total += float(joules(pim[0], self.on_pim[:, rank]))
        return None if np.isnan(total) else total
