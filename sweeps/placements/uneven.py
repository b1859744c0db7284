"""Homes among unequal units, or in their memory spaces: learnt on some steps, scored on others."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import Pim
from ...hardware.load import system
from ...placement.solvers.split import SPLITS, Split, split
from ...placement.uneven import Uneven
from ...simulator.step.coprocess import exact
from ...simulator.step.expert_time import TimeCurve
from ...simulator.step.pair import pair_of
from ...simulator.step.rates import memory_rates
from ...workload import MoEModel, RoutingCounts, RoutingTrace
from ...workload.drawn import drawn_loads
from .trials import halves

Floats = NDArray[np.float64]


class SplitTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One method: what it learnt, and the mean makespan of unseen steps, all layers added up."""

    found: Split
    unseen_s: float


class SplitTrials(msgspec.Struct, frozen=True, kw_only=True):
    """All methods on the same steps. free_s: unseen steps where any expert may go to any unit each
    time (the least makespan; a bound where a search was cut short). alone_s: on the better unit
    alone."""

    learn: Uneven
    trials: tuple[SplitTrial, ...]
    free_s: float
    alone_s: float


def curves_of(model: MoEModel, on: str) -> tuple[TimeCurve, TimeCurve]:
    """An expert's times on the xPU and its PIM, at the bandwidth that their memory leaves them."""
    machine = system(on)
    device = machine.devices[0]
    if not isinstance(device, Pim) or device.host is None:
        raise BadInput("is no PIM with a host on the same memory", key=on)
    xpu, pim = pair_of(device, memory_rates(machine, model)).weights()
    assert pim is not None
    return TimeCurve.of(model, xpu), TimeCurve.of(model, pim)


def steps_of(
    routing: RoutingTrace | RoutingCounts, model: MoEModel, batch: int, steps: int, seed: int
) -> tuple[Floats, Floats]:
    """Tokens of each expert in learnt and in unseen steps, `[steps, layers, experts]` each.

    A trace: every other request is kept for scoring; a step is `batch` of a half's tokens, drawn
    without putting back. Counts: the first half of the windows is learnt from; a step draws its
    tokens with the popularity of a window, the windows taking turns.
    """
    if routing.experts != model.experts.count:
        raise BadInput(
            f"holds {routing.experts} experts; {model.name} has {model.experts.count}",
            key="trace",
        )
    if min(batch, steps) < 1:
        raise BadInput("must be at least 1", key="batch and steps")
    if isinstance(routing, RoutingTrace):
        learn, fresh = (_from_tokens(half, batch, steps, seed) for half in halves(routing))
        return learn, fresh
    windows = routing.loads
    if len(windows) < 2:
        raise BadInput(
            "holds one window of counts; it takes two to learn on one and score another",
            key="trace",
        )
    first = len(windows) // 2
    top_k = model.experts.top_k
    parts = (windows[:first], windows[first:])
    learn, fresh = (
        _from_counts(part, top_k, batch, steps, [seed, i]) for i, part in enumerate(parts)
    )
    return learn, fresh


def split_trials(
    learn: Uneven, fresh: Uneven, methods: tuple[str, ...] = tuple(SPLITS), seed: int = 0
) -> SplitTrials:
    """Every method, learnt on one problem and scored on the other."""
    trials = []
    for method in methods:
        found = split(learn, method, seed)
        unseen_s = float(fresh.expected_s(found.homes).sum())
        trials.append(SplitTrial(found=found, unseen_s=unseen_s))
    _, windows, layers, experts = fresh.seconds.shape
    rows = fresh.seconds.reshape(2, windows * layers, experts)
    free = exact(rows[0], rows[1]).bound_s.sum() / windows
    alone = fresh.seconds.sum(axis=3).min(axis=0).mean(axis=0).sum()
    return SplitTrials(learn=learn, trials=tuple(trials), free_s=float(free), alone_s=float(alone))


def _from_tokens(half: RoutingTrace, batch: int, steps: int, seed: int) -> Floats:
    whole = min(steps, half.tokens // batch)
    if not whole:
        raise BadInput(
            f"must be at most the {half.tokens} tokens of half the trace", key="batch", value=batch
        )
    drawn = np.random.default_rng(seed).permutation(half.tokens)[: whole * batch]
    return half.select(drawn).counts(whole).loads


def _from_counts(windows: Floats, top_k: int, batch: int, steps: int, seed: list[int]) -> Floats:
    each = -(-steps // len(windows))
    seeds = np.random.default_rng(seed).integers(2**31, size=windows.shape[:2])
    drawn = np.array([
        [drawn_loads(top_k * row / row.sum(), top_k, batch, each, int(number))
         for row, number in zip(rows, numbers, strict=True)]
        for rows, numbers in zip(windows, seeds, strict=True)
    ], np.float64)  # fmt: skip
    # [windows, layers, draws, experts]: the windows take turns.
    turns = drawn.transpose(2, 0, 1, 3).reshape(-1, windows.shape[1], windows.shape[2])
    return turns[:steps]
