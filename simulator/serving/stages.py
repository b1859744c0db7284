"""What the stages of a model ask of a processor, whoever helps it: built once, priced by many."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import System
from ...roofline import Efficiency, OperatorTable, operators
from ...roofline.energy import joules, links_j
from ...roofline.prices import prices
from ...roofline.reasons import critical_path
from ...roofline.shapes import Core, Routed
from ...workload import MoEModel, Parallel
from ..step.attention_pair import core_times, decoding
from ..step.pair import hosts, pair_in
from ..step.rates import Rates
from ..step.spent import WHOLE
from .estimated import stage_step

Floats = NDArray[np.float64]
Prompts = tuple[tuple[int, int], ...]

KNOTS = np.array([0, *(2**power - 1 for power in range(1, 25))])
"""Cached tokens of a request between which the work of attention is a straight line: it is affine
up to a window, and windows are powers of two."""


class Attention(msgspec.Struct, frozen=True, kw_only=True):
    """Layers whose attention is alike: how many there are.

    rest_s, rest_bytes_s: seconds of one for what stays on the xPU, in all and where moving bytes
    takes them; rest_j: joules of it. flops, moved: what one layer's decoding requests ask of the
    first device at each of `KNOTS`, and all_flops, all_moved of all devices, `[knots]`; dtype: the
    format of their arithmetic.
    """

    count: int
    prompts: bool
    rest_s: float
    rest_bytes_s: float
    rest_j: float
    flops: Floats
    moved: Floats
    all_flops: Floats
    all_moved: Floats
    dtype: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage. rest_s, rest_j: all that is neither attention nor a routed expert, links included.
    experts: their shape, the format of their weights, and how many layers hold such."""

    rest_s: float
    rest_j: float
    attention: tuple[Attention, ...]
    experts: tuple[tuple[Routed, str, int], ...]
    tokens: int


class Stages:
    """Stages of a model under uniform routing on a system without its PIM units, remembered.

    share: of the processor's bandwidth by kind of stream. Devices are taken to be as busy as the
    first, which has the most requests.
    """

    def __init__(
        self, model: MoEModel, system: System, parallel: Parallel, share: Efficiency
    ) -> None:
        if model.two_stacks or parallel.pp > 1:
            raise BadInput("needs a decoder in one pipeline stage", key=model.name)
        self.system, self.parallel, self.share = hosts(system), parallel, share
        self.xpu = pair_in(self.system, Rates(share=share))
        kinds = tuple(kind for kind, _ in model.groups)
        self.thin = msgspec.structs.replace(model, layers=kinds)
        self.times = np.array([*(len(layers) for _, layers in model.groups), 1])
        self.known: dict[tuple[int, Prompts], Stage] = {}

    def at(self, requests: int, prompts: Prompts) -> Stage:
        """The stage that decodes `requests` and computes `prompts`: (tokens now, cached) of each,
        more than one token now."""
        key = requests, tuple(sorted(prompts))
        if key not in self.known:
            self.known[key] = self._built(*key)
        return self.known[key]

    def _built(self, requests: int, prompts: Prompts) -> Stage:
        step = stage_step(self.thin, requests, requests * int(KNOTS[-1]), prompts)
        table = operators(self.thin, step, self.system, self.parallel)
        price, _ = prices(table, self.system, self.share)
        shared = np.array([isinstance(op.shape, Core | Routed) for op in table.operators])
        seconds = np.where(shared[:, None], 0.0, price.total)
        path = critical_path(table, seconds)
        times = self.times[[op.layer for op in table.operators]]  # outside the layers once
        return Stage(
            rest_s=float(times @ seconds[np.arange(path.size), path]),
            rest_j=self._joules_of(table, np.where(shared, 0, times)),
            attention=tuple(
                self._attention(table, i, int(times[i]), bool(requests))
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

    def _attention(self, table: OperatorTable, i: int, count: int, decodes: bool) -> Attention:
        core = table.operators[i].shape
        assert isinstance(core, Core)
        whole = core_times(core, table, i, np.arange(table.devices), self.xpu)
        requests = core.requests[-1] if decodes else np.zeros(table.devices)
        flops, moved = _per_request(core) if decodes else np.zeros((2, KNOTS.size))
        left = np.stack([table.flops[i], table.moved_bytes[i]])
        left -= np.stack([whole.decode_flops, whole.decode_bytes])
        rest_s = float(whole.rest.seconds[0])
        return Attention(
            count=count,
            prompts=whole.prompts,
            rest_s=rest_s,
            rest_bytes_s=rest_s if whole.rest.bytes_s[0] > whole.rest.flops_s[0] else 0.0,
            rest_j=float(joules(self.xpu.xpu, left.sum(axis=1))),
            flops=flops * requests[0],
            moved=moved * requests[0],
            all_flops=flops * requests.sum(),
            all_moved=moved * requests.sum(),
            dtype=table.operators[i].dtype,
        )

    def _joules_of(self, table: OperatorTable, times: NDArray[np.int64]) -> float:
        """Joules of operators that stand so often, and of what they send."""
        work = np.stack([times @ table.flops, times @ table.moved_bytes]).sum(axis=1)
        sent = np.einsum("o,odt->t", times, table.link_bytes)
        return float(joules(self.xpu.xpu, work)) + links_j(sent, self.system)


def _per_request(core: Core) -> Floats:
    """Flops and bytes of one decoding request at each of `KNOTS`, `[2, knots]`; the last kind of
    the core decodes at the last of them, which is where its window shows."""
    one = msgspec.structs.replace(
        core,
        new=np.ones(KNOTS.size),
        cached=np.minimum(KNOTS.astype(float), core.cached[-1]),
        requests=np.eye(KNOTS.size),
    )
    return np.stack(decoding(one))
