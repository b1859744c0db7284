"""StageCosts at detail 'cycle': what `step.cycle` says of a stage, thousands of stages at once."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ...base import Evidence
from ...hardware import System
from ...roofline.energy import joules
from ...roofline.prices import Unit
from ...roofline.shapes import Routed
from ...workload import MoEModel, Parallel
from ...workload.drawn import drawn_loads
from ..step.attention_pair import busy
from ..step.expert_layer import FEWEST_DRAWS, ExpertLayer, draws_of
from ..step.pair import pair_in, slowed
from ..step.policies import policy_of
from ..step.rates import Rates
from .costs import Priced
from .stages import KNOTS, Attention, Prompts, Stage, Stages

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_RUNNING = 2**25
"""Counts kept of running loads; beyond so many each number of tokens is drawn by itself."""
GOLDEN, ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)


class CycleCosts:
    """Stages as `step.cycle` prices them under uniform routing, each with routing of its own.

    Every layer of a stage meets one of the batches that `draws_of` draws, chosen by a hash of the
    stage and the seed, so that equal questions get equal answers; the mean is that of `cycle` but
    for the batches drawn. stages: those of another way to share the same model, system, split and
    host rates, to be used again.
    """

    evidence: Evidence = "simulated"

    def __init__(
        self,
        model: MoEModel,
        system: System,
        parallel: Parallel,
        rates: Rates,
        *,
        units: str = "",
        seed: int = 0,
        stages: Stages | None = None,
    ) -> None:
        self.stages = stages or Stages(model, system, parallel, rates.share)
        self.policy = policy_of(units)
        self.pair = pair_in(system, rates, alone=self.policy.share is None)
        self.seed = seed
        self.batches: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def decode(self, requests: int, contexts: Ints) -> Priced:
        return self._priced(self.stages.at(requests, ()), contexts / requests, contexts)

    def mixed(self, requests: int, context: int, prompts: Prompts) -> Priced:
        late = [cached for now, cached in prompts if now == 1]  # a last token is as a decoded one
        requests, context = requests + len(late), context + sum(late)
        stage = self.stages.at(requests, tuple(part for part in prompts if part[0] > 1))
        return self._priced(stage, np.array([context / max(requests, 1)]), np.array([context]))

    def _priced(self, stage: Stage, mean: Floats, contexts: Ints) -> Priced:
        seconds = np.full(mean.size, stage.rest_s)
        energy_j = np.full(mean.size, stage.rest_j)
        for attention in stage.attention:
            took, spent = self._attention(attention, mean)
            seconds += attention.count * took
            energy_j += attention.count * spent
        for part, (shape, dtype, count) in enumerate(stage.experts):
            took, spent = self._batches(stage.tokens, shape, dtype, part)
            met = _met((self.seed, stage.tokens, part), contexts, count) % took.size
            seconds += took[met].sum(axis=1)
            energy_j += spent[met].sum(axis=1)
        return Priced(seconds=seconds, energy_j=energy_j)

    def _attention(self, layer: Attention, mean: Floats) -> tuple[Floats, Floats]:
        """Seconds and joules of one such layer; see `CoreTimes`."""
        xpu, pim = self.pair.kv()
        xpu_s, xpu_j = _decoding(xpu, layer, mean)
        alone = layer.rest_s + xpu_s
        if pim is None:
            return alone, xpu_j + layer.rest_j
        pim_s, pim_j = _decoding(pim, layer, mean)
        if self.policy.together and layer.prompts:
            late = slowed(np.full(mean.size, layer.rest_bytes_s), pim_s, self.pair.rates.beside)
            with_pim = np.maximum(layer.rest_s + late, pim_s)
        else:
            with_pim = layer.rest_s + pim_s
        energy_j = np.where(with_pim < alone, pim_j, xpu_j)
        return np.minimum(alone, with_pim), energy_j + layer.rest_j

    def _batches(self, tokens: int, shape: Routed, dtype: str, part: int) -> tuple[Floats, Floats]:
        """Seconds and joules of a layer's experts in each drawn batch of so many tokens."""
        if (tokens, part) not in self.batches:
            layer = ExpertLayer.of(shape, dtype, self.pair, self.policy)
            times = layer.times(_loads(tokens, shape, self.seed + part))
            unknown = np.full(times.seconds.size, np.nan)
            energy_j = unknown if times.energy_j is None else times.energy_j
            self.batches[tokens, part] = times.seconds, energy_j
        return self.batches[tokens, part]


def _decoding(unit: Unit, layer: Attention, mean: Floats) -> tuple[Floats, Floats]:
    """Seconds and joules of one layer's decoding requests on a unit, at their mean contexts."""
    flops, moved, all_flops, all_moved = (
        np.interp(mean, KNOTS, column)
        for column in (layer.flops, layer.moved, layer.all_flops, layer.all_moved)
    )
    seconds = busy(unit, layer.dtype, flops, moved).seconds
    return seconds, joules(unit, np.stack([all_flops, all_moved]))


def _loads(tokens: int, shape: Routed, seed: int) -> Floats:
    """Loads of drawn batches under uniform routing, `[draws, experts]`."""
    experts = shape.loads.size
    draws = draws_of(tokens, experts)
    if not draws:
        return shape.loads[None]
    chance = np.full(experts, shape.top_k / experts)
    most = 1 << max(8, tokens.bit_length())
    if draws == FEWEST_DRAWS and draws * (most + 1) * experts <= MOST_RUNNING:
        running = _running(tuple(chance), shape.top_k, most, seed)
        return running[:, tokens].astype(np.float64)
    return drawn_loads(chance, shape.top_k, tokens, draws, seed).astype(np.float64)


@functools.lru_cache(maxsize=8)
def _running(chance: tuple[float, ...], top_k: int, tokens: int, seed: int) -> NDArray[np.int32]:
    """Loads of the first 0, 1, ... tokens of batches: one drawing serves every stage."""
    return drawn_loads(chance, top_k, tokens, FEWEST_DRAWS, seed, running=True)


def _met(stage: tuple[int, ...], contexts: Ints, layers: int) -> Ints:
    """Which batch each layer of each stage meets, before the remainder: `[stages, layers]`."""
    begin = np.zeros(1, np.uint64)
    for word in stage:
        begin = _mixed(begin + np.array([word], np.uint64) * ODD)
    x = contexts.astype(np.uint64)[:, None] * ODD + np.arange(layers, dtype=np.uint64) * GOLDEN
    return np.asarray(_mixed(x + begin) >> np.uint64(1)).astype(np.int64)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits spread by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014); products wrap."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
