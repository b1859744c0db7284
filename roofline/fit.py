"""Does it fit: weights, KV cache and activations on each device, and what would help."""

from __future__ import annotations

import msgspec
import numpy as np

from ..base import BadInput, bytes_of
from ..base.units import show
from ..hardware import System
from ..workload import Chunk, Decode, ExpertMap, MoEModel, Parallel, Step
from .operators import operators
from .table import Floats, OperatorTable


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes needed and held, by device: `[devices]`.

    weights: every weight of the device's shard, read in this step or not. kv: the cache that the
    step's requests hold. activations: the largest operator's rows, in and out.
    """

    weights: Floats
    kv: Floats
    activations: Floats
    capacity: Floats

    @property
    def needed(self) -> Floats:
        return np.asarray(self.weights + self.kv + self.activations)

    @property
    def ok(self) -> bool:
        return bool((self.needed <= self.capacity).all())

    @property
    def worst(self) -> int:
        """The device that lacks most, or has least to spare."""
        return int(np.argmax(self.needed - self.capacity))

    def demand(self, system: System) -> None:
        """Raises BadInput that says by how much it does not fit."""
        if self.ok:
            return
        i = self.worst
        parts = ", ".join(
            f"{name} {show(float(getattr(self, name)[i]), 'B')}"
            for name in ("weights", "kv", "activations")
        )
        raise BadInput(
            f"device {i} ({system.devices[i].name}) needs {show(float(self.needed[i]), 'B')} "
            f"({parts}) and holds {show(float(self.capacity[i]), 'B')}: "
            f"{show(float(self.needed[i] - self.capacity[i]), 'B')} too much; use more devices "
            "(tp, ep, pp), smaller number formats, a smaller batch or context, or ignore capacity",
            key=system.name,
        )


def fit(
    model: MoEModel,
    table: OperatorTable,
    system: System,
    parallel: Parallel | None = None,
    expert_map: ExpertMap | None = None,
    weights: Floats | None = None,
) -> Fit:
    """What `table` (of this model, split this way) needs on each device against what it holds.

    The cache is what the step's own requests hold after it. weights: what `resident` says, where it
    is known already.
    """
    if weights is None:
        weights = resident(model, system, parallel or Parallel(), expert_map)
    devices = system.devices[: table.devices]
    return Fit(
        weights=weights,
        kv=table.cache_bytes.sum(axis=0),
        activations=table.activation_bytes.max(axis=0),
        capacity=np.array([device.memory.capacity_bytes for device in devices]),
    )


def resident(
    model: MoEModel, system: System, parallel: Parallel, expert_map: ExpertMap | None = None
) -> Floats:
    """Bytes of weights on each device: `[devices]`.

    They are those that a step would read whose tokens are so many that every copy of every expert
    is touched on every replica, and the embedding, of which a step reads only rows.
    """
    experts = np.ones((len(model.moe_layers), model.experts.count))
    everything = Step(
        chunks=(Chunk(tokens=1, requests=parallel.dp),),
        decode=(Decode(requests=parallel.dp, context=0),),
        loads=1e6 * experts,
        touched=experts,
    )
    if expert_map is not None:
        # Every copy is read: what counts is how many a rank holds, which is the same in all layers.
        slots = np.broadcast_to(expert_map.slots[:1], expert_map.slots.shape)
        expert_map = msgspec.structs.replace(expert_map, slots=slots)
    table = operators(model, everything, system, parallel, expert_map)
    rows = np.array([operator.part != "embedding" for operator in table.operators])
    weights = np.asarray(table.weight_bytes[rows].sum(axis=0))
    if not (model.tied and parallel.pp == 1):
        held = bytes_of(model.formats.head, model.vocab * model.hidden / parallel.tp)
        weights[: parallel.stage_devices] += held
    return weights
