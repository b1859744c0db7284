"""Shards: who has how many requests, and the operators of one layer in the making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..hardware import System
from ..workload import MoEModel, Parallel, Step
from .shapes import Shape
from .table import Floats, Group


def dealt(groups: Sequence[int], hands: int) -> NDArray[np.float64]:
    """Requests of each group on each of `hands` replicas, dealt in turn like cards.

    Returns `[groups, hands]`; the next group goes on where the last one ended.
    """
    out = np.zeros((len(groups), hands))
    start = 0
    for row, requests in zip(out, groups, strict=True):
        each, more = divmod(requests, hands)
        row += each
        row[(start + np.arange(more)) % hands] += 1
        start = (start + more) % hands
    return out


@dataclass(frozen=True)
class Shards:
    """One pipeline stage as its devices see the step: arrays over the devices of a stage.

    prompts `[chunks, devices]` and decodes `[groups, devices]`: requests on each device's replica.
    first: the rank of the stage's first device.
    """

    model: MoEModel
    step: Step
    parallel: Parallel
    system: System
    prompts: Floats
    decodes: Floats
    first: int = 0

    @classmethod
    def of(
        cls, model: MoEModel, step: Step, parallel: Parallel, system: System, first: int = 0
    ) -> Shards:
        prompts = dealt([chunk.requests for chunk in step.chunks], parallel.dp)
        decodes = dealt([group.requests for group in step.decode], parallel.dp)
        tp = parallel.tp
        return cls(
            model,
            step,
            parallel,
            system,
            prompts.repeat(tp, axis=1),
            decodes.repeat(tp, axis=1),
            first,
        )

    def tokens(self, side: str) -> Floats:
        """Tokens of each device's replica in the layers of this side: `[devices]`."""
        prefill = np.array([chunk.tokens for chunk in self.step.chunks], float) @ self.prompts
        decode = self.decodes.sum(axis=0)
        if not self.model.two_stacks:
            return np.asarray(prefill + decode)
        return np.asarray(prefill if side == "encoder" else decode)

    def outputs(self) -> Floats:
        """Tokens whose next token is predicted: one a request, prompt or decode: `[devices]`."""
        return np.asarray(self.prompts.sum(axis=0) + self.decodes.sum(axis=0))


@dataclass
class Draft:
    """An operator before it gets its place: arrays over the devices of a stage.

    after: places of earlier drafts of the same layer; -1 is the end of the layer before.
    """

    name: str
    dtype: str
    after: tuple[int, ...]
    flops: Floats
    weight_bytes: Floats
    activation_bytes: Floats
    kv_bytes: Floats
    cache_bytes: Floats
    link_bytes: Floats
    rows_per_expert: Floats
    token_weight_bytes: Floats
    group: Group = ""
    latency_s: float = 0.0
    shape: Shape | None = None


@dataclass
class Drafts:
    """The operators of one layer in order. Each follows the one before unless told otherwise."""

    devices: int
    tiers: int
    made: list[Draft] = field(default_factory=list)

    @property
    def last(self) -> int:
        return len(self.made) - 1

    def add(
        self,
        name: str,
        dtype: str,
        *,
        flops: object = 0.0,
        weights: object = 0.0,
        activations: object = 0.0,
        kv: object = 0.0,
        held: object = 0.0,
        link: Floats | None = None,
        rows: object = 0.0,
        token_weights: object | None = None,
        group: Group = "",
        latency_s: float = 0.0,
        shape: Shape | None = None,
        after: tuple[int, ...] | None = None,
    ) -> int:
        """Adds an operator and returns its place. token_weights: all weights unless given.

        held: bytes that stay in the cache."""
        self.made.append(
            Draft(
                name,
                dtype,
                (self.last,) if after is None else after,
                self._row(flops),
                self._row(weights),
                self._row(activations),
                self._row(kv),
                self._row(held),
                np.zeros((self.devices, self.tiers)) if link is None else link,
                self._row(rows),
                self._row(weights if token_weights is None else token_weights),
                group,
                latency_s,
                shape,
            )
        )
        return self.last

    def _row(self, value: object) -> Floats:
        row = np.asarray(value, float)
        return row if row.ndim else np.full(self.devices, row)
