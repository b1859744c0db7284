"""OperatorTable: what a step asks of each device, operator by operator."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from .shapes import Shape

Floats = NDArray[np.float64]
Group = Literal["", "replica", "stage", "pipeline"]


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of a step, whatever the number of devices that share it.

    name: 'part.piece', such as 'experts.gate_up'; layer: absolute number, -1 outside the layers;
    dtype: the format whose tensor peak it runs at; after: the operators whose results it needs;
    group: the devices that it joins ('replica': the tp devices of a replica, 'stage': all devices
    of a pipeline stage, 'pipeline': a stage and the next), '' for work on one device;
    latency_s: seconds that its messages need however small they are. shape: what a kernel model
    needs beyond the flops and bytes; None for operators that only move bytes.
    """

    name: str
    layer: int
    dtype: str
    after: tuple[int, ...]
    group: Group = ""
    latency_s: float = 0.0
    shape: Shape | None = None

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]


class OperatorTable(msgspec.Struct, frozen=True, kw_only=True):
    """Operators in an order that respects `after`, and their cost on each device.

    flops, weight_bytes, activation_bytes, kv_bytes: `[operators, devices]`. cache_bytes, of the
    same shape: what the step's requests hold in the KV cache, or as recurrent state, after it.
    link_bytes: `[operators, devices, tiers]`, what a device sends (or receives, if that is more)
    over the link of each tier of the system. rows_per_expert: `[operators, devices]`, tokens per
    touched expert for expert operators, else 0. token_weight_bytes: `[operators, devices]`, the
    part of weight_bytes that a single token would read (top_k experts), for the `why`.
    tp: devices of a replica; stage_devices: devices of a pipeline stage; tokens: of the step.
    """

    operators: tuple[Operator, ...]
    flops: Floats
    weight_bytes: Floats
    activation_bytes: Floats
    kv_bytes: Floats
    cache_bytes: Floats
    link_bytes: Floats
    rows_per_expert: Floats
    token_weight_bytes: Floats
    tp: int
    stage_devices: int
    tokens: int

    @property
    def devices(self) -> int:
        return int(self.flops.shape[1])

    @property
    def moved_bytes(self) -> Floats:
        """Weights, cache and activations: `[operators, devices]`."""
        return np.asarray(self.weight_bytes + self.kv_bytes + self.activation_bytes)

    def width(self, group: Group) -> int:
        """How many devices, with consecutive ranks, an operator of this group joins."""
        return {"replica": self.tp, "stage": self.stage_devices}.get(group, self.devices)

    def members(self, group: Group) -> list[slice]:
        """The runs of devices that an operator of this group joins, one run after another."""
        width = self.width(group)
        return [slice(a, a + width) for a in range(0, self.devices, width)]
