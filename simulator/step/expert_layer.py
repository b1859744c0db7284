"""The routed experts of one layer on a pair of units: drawn loads, shared out, waited for."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...roofline.shapes import Routed
from ...workload import MoEModel
from ...workload.drawn import drawn_loads
from .coprocess import one_unit
from .expert_time import TimeCurve
from .pair import PIM_BYTES, PIM_FLOPS, SLOWED, XPU_BYTES, XPU_FLOPS, Pair, slowed
from .policies import Policy, Share

Floats = NDArray[np.float64]
UNEVEN = "imbalance"
_OF_PIM, _OF_XPU = (PIM_BYTES, PIM_FLOPS), (XPU_BYTES, XPU_FLOPS, SLOWED)


class ExpertTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One layer's experts, batch by batch.

    seconds `[draws]`: until the slowest rank is done. ranks_s `[draws, ranks]`: each rank. why: the
    mean of `seconds` by reason, which sum to it: what the busier unit of each rank does, and what
    the slowest rank is waited for beyond the mean one. energy_j `[draws]`: all ranks, None where a
    constant lacks. on_pim: share of the assignments that the PIM computes.
    """

    seconds: Floats
    ranks_s: Floats
    why: dict[str, float]
    energy_j: Floats | None
    on_pim: float


FEWEST_DRAWS, MOST_DRAWS = 64, 1024
DRAWN, MOST_DRAWN = 2**14, 2**24
"""Random numbers, a token and expert each: wanted in all, and the most of one batch."""


def draws_of(tokens: int, experts: int) -> int:
    """Batches to draw: more of them the fewer tokens they have. 0 where a batch has so many that
    its loads are their means within a percent."""
    if tokens * experts > MOST_DRAWN:
        return 0
    return min(MOST_DRAWS, max(FEWEST_DRAWS, DRAWN // max(1, tokens * experts)))


def loads_of(shape: Routed, seed: int) -> Floats:
    """Tokens of each copy of an expert, `[draws, copies]`: counted ones as they are, expected ones
    drawn token by token, or left as they are in a batch of very many."""
    tokens = round(shape.tokens)
    draws = draws_of(tokens, shape.loads.size)
    if shape.counted or not tokens or not draws:
        return shape.loads[None]
    drawn = drawn_loads(shape.loads / shape.tokens, shape.top_k, tokens, draws, seed)
    return drawn.astype(np.float64)


class ExpertLayer(msgspec.Struct, frozen=True, kw_only=True):
    """What a layer's times depend on beside its loads. share: None for the xPU alone; beside: of
    its rate that the xPU keeps while the PIM reads."""

    xpu: TimeCurve
    pim: TimeCurve | None
    share: Share | None
    rank: NDArray[np.int64]
    each: int
    beside: float = 1.0

    @classmethod
    def of(cls, shape: Routed, dtype: str, pair: Pair, policy: Policy) -> ExpertLayer:
        xpu, pim = pair.weights()
        return cls(
            xpu=TimeCurve.of_shape(shape, dtype, xpu),
            pim=None if pim is None else TimeCurve.of_shape(shape, dtype, pim),
            share=policy.share,
            rank=shape.rank,
            each=shape.each,
            beside=pair.rates.beside if policy.together else 1.0,
        )

    @classmethod
    def of_model(
        cls, model: MoEModel, pair: Pair, policy: Policy, *, expert_tp: int = 1
    ) -> ExpertLayer:
        """All experts of the model's first MoE layer on one device, or its share of each."""
        xpu, pim = pair.weights()
        return cls(
            xpu=TimeCurve.of(model, xpu, expert_tp=expert_tp),
            pim=None if pim is None else TimeCurve.of(model, pim, expert_tp=expert_tp),
            share=policy.share,
            rank=np.zeros(model.experts.count, np.int64),
            each=expert_tp,
            beside=pair.rates.beside if policy.together else 1.0,
        )

    def times(self, loads: Floats) -> ExpertTimes:
        """The layer under each batch's loads `[draws, copies]`."""
        rows = self._by_rank(loads)
        parts: dict[str, Floats] = {}
        parts[XPU_BYTES], parts[XPU_FLOPS] = self.xpu.by_resource(rows)
        if self.pim is not None:
            parts[PIM_BYTES], parts[PIM_FLOPS] = self.pim.by_resource(rows)
        on_pim = self._shared_out(parts, rows)
        spent = self._spent(parts, on_pim)
        pim_s = _sum(spent, _OF_PIM, len(rows))
        xpu_s = _sum(spent, _OF_XPU, len(rows))
        busy = np.maximum(xpu_s, pim_s).reshape(len(loads), -1)
        seconds = busy.max(axis=1)
        why = {
            name: float(np.where((pim_s > xpu_s) == (name in _OF_PIM), part, 0.0).mean())
            for name, part in spent.items()
        }
        why[UNEVEN] = float((seconds - busy.mean(axis=1)).mean())
        return ExpertTimes(
            seconds=seconds,
            ranks_s=busy,
            why=why,
            energy_j=self._energy(rows, on_pim, len(loads)),
            on_pim=float(rows[on_pim].sum() / max(rows.sum(), 1e-300)),
        )

    def _shared_out(self, parts: dict[str, Floats], rows: Floats) -> NDArray[np.bool_]:
        """Who runs on the PIM, `[rows, experts]`, as `share` has it.

        Units that slow each other share neither as if they did not nor as if they did all the time:
        of both ways and one unit alone, the soonest done is taken in each row.
        """
        if self.pim is None or self.share is None:
            return np.zeros(rows.shape, bool)
        pim_s = parts[PIM_BYTES] + parts[PIM_FLOPS]
        xpu_s = parts[XPU_BYTES] + parts[XPU_FLOPS]
        best = self.share(xpu_s, pim_s, rows).on_pim
        if self.beside == 1:
            return best
        slow_s = parts[XPU_BYTES] / self.beside + parts[XPU_FLOPS]
        for other in (self.share(slow_s, pim_s, rows), one_unit(xpu_s, pim_s)):
            sooner = self._makespan(parts, other.on_pim) < self._makespan(parts, best)
            best = np.where(sooner[:, None], other.on_pim, best)
        return best

    def _makespan(self, parts: dict[str, Floats], on_pim: NDArray[np.bool_]) -> Floats:
        spent = self._spent(parts, on_pim)
        return np.maximum(*(_sum(spent, of, len(on_pim)) for of in (_OF_XPU, _OF_PIM)))

    def _spent(self, parts: dict[str, Floats], on_pim: NDArray[np.bool_]) -> dict[str, Floats]:
        """Seconds of each unit by reason: `[rows]`."""
        spent = {
            name: np.where(on_pim == (name in _OF_PIM), part, 0.0).sum(axis=1)
            for name, part in parts.items()
        }
        pim_s = _sum(spent, _OF_PIM, len(on_pim))
        return spent | {SLOWED: slowed(spent[XPU_BYTES], pim_s, self.beside)}

    def _by_rank(self, loads: Floats) -> Floats:
        """Loads `[draws * ranks, experts of a rank]`; ranks that hold fewer get idle ones."""
        held = np.bincount(self.rank)
        rows = np.zeros((len(loads), held.size, held.max()))
        order = np.argsort(self.rank, kind="stable")
        place = np.arange(order.size) - np.repeat(np.cumsum(held) - held, held)
        rows[:, self.rank[order], place] = loads[:, order]
        return rows.reshape(-1, held.max())

    def _energy(self, rows: Floats, on_pim: NDArray[np.bool_], draws: int) -> Floats | None:
        joules = self.xpu.energy_j(rows)
        if self.pim is not None:
            pim = self.pim.energy_j(rows)
            if pim is None or joules is None:
                return None
            joules = np.where(on_pim, pim, joules)
        return None if joules is None else joules.reshape(draws, -1).sum(axis=1) * self.each


def _sum(spent: dict[str, Floats], of: tuple[str, ...], rows: int) -> Floats:
    return sum((spent[name] for name in of if name in spent), np.zeros(rows))
