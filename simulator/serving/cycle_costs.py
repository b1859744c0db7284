"""StageCosts at detail 'cycle': what `step.cycle` says of a stage, thousands of stages at once."""

from __future__ import annotations

import functools

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Evidence
from ...hardware import System
from ...roofline import OperatorTable, operators
from ...roofline.prices import prices
from ...roofline.reasons import critical_path
from ...roofline.shapes import Core, Routed
from ...workload import MoEModel, Parallel
from ...workload.drawn import drawn_loads
from ..step.attention_pair import busy, core_times, decoding
from ..step.expert_layer import ExpertLayer
from ..step.pair import Pair, hosts, pairs_of, slowed
from ..step.policies import SHARING, policy_of
from ..step.rates import Rates
from ..step.spent import WHOLE, joules, links_j
from .costs import Priced
from .estimated import stage_step

Floats = NDArray[np.float64]
Prompts = tuple[tuple[int, int], ...]

DRAWS = 64
"""Batches whose routing is drawn for each number of tokens; every layer of a stage meets one."""
KNOTS = np.array([0, *(2**power - 1 for power in range(1, 25))])
"""Cached tokens of a request between which attention is a straight line, the limiter's change
apart: a window ends where the mean context leaves its last knot."""
MOST_RUNNING = 2**24
"""Counts kept of running loads; beyond so many tokens each batch is drawn by itself."""


class _Layer(msgspec.Struct, frozen=True, kw_only=True):
    """Layers whose attention is alike: how many there are.

    rest_s, rest_bytes_s: seconds of one for what stays on the xPU, in all and where moving bytes
    takes them; rest_j: joules of all. xpu_s, pim_s, xpu_j, pim_j: seconds and joules of one for the
    decoding requests on either unit at each of `KNOTS`, `[knots]`.
    """

    count: int
    prompts: bool
    rest_s: float
    rest_bytes_s: float
    rest_j: float
    xpu_s: Floats
    pim_s: Floats
    xpu_j: Floats
    pim_j: Floats


class _Stage(msgspec.Struct, frozen=True, kw_only=True):
    """All of a stage that contexts and routing leave alone: seconds and joules of the rest, its
    attention, and its routed experts with the number of layers that hold them."""

    rest_s: float
    rest_j: float
    layers: tuple[_Layer, ...]
    experts: tuple[tuple[Routed, str, int], ...]
    tokens: int


class CycleCosts:
    """Stages as `step.cycle` prices them under uniform routing, each with routing of its own.

    Every layer of a stage meets one of `DRAWS` drawn batches, chosen by a hash of the stage and
    the seed, so that equal questions get equal answers; their mean is what `cycle` gives. Devices
    are taken to be as busy as the first, which has the most requests.
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
    ) -> None:
        if model.two_stacks or parallel.pp > 1:
            raise BadInput("needs a decoder in one pipeline stage", key=model.name)
        self.model, self.system, self.parallel, self.rates = model, system, parallel, rates
        self.policy = policy_of(units or SHARING)
        self.seed = seed
        pairs = pairs_of(system, rates, alone=self.policy.share is None)
        if len(pairs.of) > 1:
            raise BadInput("has devices of several kinds; serving takes one", key=system.name)
        self.pair: Pair = pairs.of[0]
        self.alone = hosts(system)
        self.thin = msgspec.structs.replace(model, layers=tuple(kind for kind, _ in model.groups))
        self.times = np.array([*(len(layers) for _, layers in model.groups), 1])
        self.stages: dict[tuple[int, Prompts], _Stage] = {}
        self.batches: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def decode(self, requests: int, contexts: NDArray[np.int64]) -> Priced:
        return self._priced(self._stage(requests, ()), contexts / requests, contexts)

    def mixed(self, requests: int, context: int, prompts: Prompts) -> Priced:
        late = [cached for now, cached in prompts if now == 1]  # a last token is as a decoded one
        requests, context = requests + len(late), context + sum(late)
        stage = self._stage(requests, tuple(sorted(part for part in prompts if part[0] > 1)))
        return self._priced(stage, np.array([context / max(requests, 1)]), np.array([context]))

    def _priced(self, stage: _Stage, mean: Floats, contexts: NDArray[np.int64]) -> Priced:
        seconds = np.full(mean.size, stage.rest_s)
        joules = np.full(mean.size, stage.rest_j)
        for layer in stage.layers:
            took, spent = self._attention(layer, mean)
            seconds += took
            joules += spent
        for part, (shape, dtype, count) in enumerate(stage.experts):
            took, spent = self._batches(stage, shape, dtype, part)
            met = self._met(stage.tokens, contexts, count, part) % took.size
            seconds += took[met].sum(axis=1)
            joules += spent[met].sum(axis=1)
        return Priced(seconds=seconds, energy_j=joules)

    def _attention(self, layer: _Layer, mean: Floats) -> tuple[Floats, Floats]:
        """Seconds and joules of all layers of this kind."""
        columns = (layer.xpu_s, layer.pim_s, layer.xpu_j, layer.pim_j)
        xpu_s, pim_s, xpu_j, pim_j = (np.interp(mean, KNOTS, column) for column in columns)
        late = slowed(np.full(mean.size, layer.rest_bytes_s), pim_s, self.pair.beside)
        beside = self.policy.together and layer.prompts
        with_pim = np.maximum(layer.rest_s + late, pim_s) if beside else layer.rest_s + pim_s
        alone = layer.rest_s + xpu_s
        joules = np.where(with_pim < alone, pim_j, xpu_j)
        return layer.count * np.minimum(alone, with_pim), layer.count * joules + layer.rest_j

    def _met(
        self, tokens: int, contexts: NDArray[np.int64], count: int, part: int
    ) -> NDArray[np.int64]:
        """Which batch each layer of each stage meets, `[stages, layers]`, before the remainder."""
        layer = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        begin = np.uint64(hash((self.seed, tokens, part)) & (2**64 - 1))
        x = contexts.astype(np.uint64)[:, None] * np.uint64(0xBF58476D1CE4E5B9) + layer + begin
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # as in SplitMix64
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray((x ^ (x >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)

    def _batches(
        self, stage: _Stage, shape: Routed, dtype: str, part: int
    ) -> tuple[Floats, Floats]:
        """Seconds and joules of a layer's experts in each drawn batch of so many tokens."""
        key = stage.tokens, part
        if key not in self.batches:
            layer = ExpertLayer.of(shape, dtype, self.pair, self.policy)
            times = layer.times(self._loads(stage.tokens, shape, part))
            unknown = np.full(times.seconds.size, np.nan)
            joules = unknown if times.energy_j is None else times.energy_j
            self.batches[key] = times.seconds, joules
        return self.batches[key]

    def _loads(self, tokens: int, shape: Routed, part: int) -> Floats:
        """Loads of `DRAWS` batches, `[draws, experts]`."""
        chance = shape.loads / shape.tokens
        if DRAWS * (tokens + 1) * chance.size <= MOST_RUNNING:
            power = 1 << max(8, tokens.bit_length())
            running = _running(tuple(chance), shape.top_k, power, self.seed + part)
            return running[:, tokens].astype(np.float64)
        drawn = drawn_loads(chance, shape.top_k, tokens, DRAWS, self.seed + part)
        return drawn.astype(np.float64)

    def _stage(self, requests: int, prompts: Prompts) -> _Stage:
        key = requests, prompts
        if key not in self.stages:
            self.stages[key] = self._built(requests, prompts)
        return self.stages[key]

    def _built(self, requests: int, prompts: Prompts) -> _Stage:
        step = stage_step(self.thin, requests, requests * int(KNOTS[-1]), prompts)
        table = operators(self.thin, step, self.system, self.parallel)
        price, _ = prices(table, self.alone, self.rates.share)
        shared = np.array([isinstance(op.shape, Core | Routed) for op in table.operators])
        seconds = np.where(shared[:, None], 0.0, price.total)
        path = critical_path(table, seconds)
        times = self._times(table)
        return _Stage(
            rest_s=float(times @ seconds[np.arange(path.size), path]),
            rest_j=self._joules_of_rest(table, shared),
            layers=tuple(
                self._layer(table, i, bool(requests))
                for i, op in enumerate(table.operators)
                if isinstance(op.shape, Core)
            ),
            experts=tuple(
                (op.shape, op.dtype, int(count))
                for op, count in zip(table.operators, times, strict=True)
                if op.name == WHOLE and isinstance(op.shape, Routed)
            ),
            tokens=step.tokens,
        )

    def _times(self, table: OperatorTable) -> NDArray[np.int64]:
        """How often each operator of the thin model stands in the whole one, `[operators]`."""
        return self.times[[op.layer for op in table.operators]]

    def _layer(self, table: OperatorTable, i: int, decodes: bool) -> _Layer:
        core = table.operators[i].shape
        assert isinstance(core, Core)
        everyone, count = np.arange(table.devices), int(self._times(table)[i])
        whole = core_times(core, table, i, everyone, self.pair)
        requests = core.requests[-1] if decodes else np.zeros(table.devices)
        furthest = core.cached[-1] if decodes else 0.0
        flops, moved = np.array(
            [
                decoding(
                    msgspec.structs.replace(
                        core,
                        new=np.ones(1),
                        cached=np.array([min(float(knot), furthest)]),
                        requests=requests[None],
                    )
                )
                for knot in KNOTS
            ]
        ).transpose(1, 0, 2)
        own = np.stack([table.flops[i], _moved(table)[i]])
        own -= np.stack([whole.decode_flops, whole.decode_bytes])
        dtype, rest_s = table.operators[i].dtype, float(whole.rest.seconds[0])
        xpu, pim = self.pair.kv()
        return _Layer(
            count=count,
            prompts=whole.prompts,
            rest_s=rest_s,
            rest_bytes_s=rest_s if whole.rest.bytes_s[0] > whole.rest.flops_s[0] else 0.0,
            rest_j=count * float(joules(xpu, own.sum(axis=1))),
            xpu_s=busy(xpu, dtype, flops[:, 0], moved[:, 0]).seconds,
            xpu_j=joules(xpu, np.stack([flops, moved]).sum(axis=2)),
            pim_s=np.full(KNOTS.size, np.inf)
            if pim is None
            else busy(pim, dtype, flops[:, 0], moved[:, 0]).seconds,
            pim_j=np.zeros(KNOTS.size)
            if pim is None
            else joules(pim, np.stack([flops, moved]).sum(axis=2)),
        )

    def _joules_of_rest(self, table: OperatorTable, shared: NDArray[np.bool_]) -> float:
        """Joules of all that is neither attention nor routed experts, links included."""
        times = np.where(shared, 0, self._times(table))
        work = np.stack([times @ table.flops, times @ _moved(table)]).sum(axis=1)
        sent = np.einsum("o,odt->t", times, table.link_bytes)
        return float(joules(self.pair.xpu, work)) + links_j(sent, self.system)


def _moved(table: OperatorTable) -> Floats:
    return np.asarray(table.weight_bytes + table.kv_bytes + table.activation_bytes)


@functools.lru_cache(maxsize=4)
def _running(chance: tuple[float, ...], top_k: int, tokens: int, seed: int) -> NDArray[np.int32]:
    """Loads of the first 0, 1, ... tokens of `DRAWS` batches: one drawing serves every stage."""
    return drawn_loads(chance, top_k, tokens, DRAWS, seed, running=True)
