"""A step of a model on devices -> OperatorTable: every operator, every shard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import System
from ..workload import ExpertMap, MoEModel, Parallel, Step, contiguous
from .layers import layer_drafts
from .links import group_link, latency_of
from .pieces import all_reduce, size_of
from .shapes import Matrix
from .shards import Draft, Drafts, Shards
from .table import Operator, OperatorTable


def operators(
    model: MoEModel,
    step: Step,
    system: System,
    parallel: Parallel | None = None,
    expert_map: ExpertMap | None = None,
) -> OperatorTable:
    """The operators of one forward pass and their cost on each device.

    expert_map: homes of the routed experts over `parallel.ep` ranks, contiguous by default.
    One batch passes the pipeline's stages in turn. Raises BadInput where the degrees do not
    divide the model, need more devices than the system has, or the map is of another model.
    """
    parallel = parallel or Parallel()
    parts = _parts(model, step, system, parallel, expert_map)
    return _assembled(parts, parallel, step.tokens, len(system.tiers))


def distinct(
    model: MoEModel,
    step: Step,
    system: System,
    parallel: Parallel | None = None,
    expert_map: ExpertMap | None = None,
) -> tuple[OperatorTable, NDArray[np.int64]]:
    """`operators` with layers that repeat written once, and the row of every operator of the step
    in its order: `[operators]`. `layer` and `after` are then those of the first such layer.
    """
    parallel = parallel or Parallel()
    parts = _parts(model, step, system, parallel, expert_map)
    once = {id(part[2]): part for part in reversed(parts)}
    kept = list(reversed(once.values()))
    ends = np.cumsum([len(drafts.made) for _, _, drafts in kept])
    rows = {
        id(part[2]): np.arange(end - len(part[2].made), end)
        for part, end in zip(kept, ends, strict=True)
    }
    order = np.concatenate([rows[id(drafts)] for _, _, drafts in parts])
    return _assembled(kept, parallel, step.tokens, len(system.tiers)), order


Part = tuple[int, int, Drafts]
"""First device of a stage, layer (-1 outside the layers), operators. Layers that are alike share
their operators."""


def _parts(
    model: MoEModel,
    step: Step,
    system: System,
    parallel: Parallel,
    expert_map: ExpertMap | None,
) -> list[Part]:
    check(model, system, parallel)
    expert_map = _fitting_map(model, parallel, expert_map)
    _check_loads(model, step)
    n = parallel.stage_devices
    parts: list[Part] = []
    moe_row = {layer: row for row, layer in enumerate(model.moe_layers)}
    stages = parallel.stages(len(model.layers))
    for s, layers in enumerate(stages):
        shards = Shards.of(model, step, parallel, system, s * n)
        if s == 0 and model.vocab:
            parts.append((0, -1, _embedding(shards)))
        memo: dict[object, Drafts] = {}
        for i in layers:
            key = _key(model, step, expert_map, i, moe_row.get(i))
            if key not in memo:
                memo[key] = layer_drafts(shards, model.layers[i], moe_row.get(i), expert_map)
            parts.append((s * n, i, memo[key]))
        if s + 1 < len(stages):
            parts.append((s * n, layers[-1], _send(shards, model.layers[layers[-1]].side)))
        elif model.vocab:
            parts.append((s * n, -1, _head(shards)))
    return parts


def check(model: MoEModel, system: System, parallel: Parallel) -> None:
    """Raises BadInput where the degrees do not divide the model or need too many devices."""
    parallel.check(model)
    if parallel.devices > len(system.devices):
        raise BadInput(
            f"has {len(system.devices)} devices; tp {parallel.tp} x dp {parallel.dp} x pp "
            f"{parallel.pp} needs {parallel.devices} devices",
            key=system.name,
        )


def _fitting_map(model: MoEModel, parallel: Parallel, expert_map: ExpertMap | None) -> ExpertMap:
    experts = model.experts.count
    if expert_map is None:
        return contiguous(experts, parallel.ep, model.moe_layers)
    if expert_map.experts != experts or expert_map.slots.shape[0] != len(model.moe_layers):
        raise BadInput(
            f"places {expert_map.experts} experts in {expert_map.slots.shape[0]} layers; "
            f"{model.name} has {experts} in {len(model.moe_layers)}",
            key="expert map",
        )
    if expert_map.devices > parallel.ep:
        raise BadInput(
            f"uses {expert_map.devices} ranks, but ep is {parallel.ep}", key="expert map"
        )
    return expert_map


def _check_loads(model: MoEModel, step: Step) -> None:
    wanted = (len(model.moe_layers), model.experts.count)
    if step.loads.shape != wanted:
        raise BadInput(
            f"was made for {step.loads.shape[0]} layers of {step.loads.shape[1]} experts; "
            f"{model.name} has {wanted[0]} of {wanted[1]}",
            key="step",
        )


def _key(model: MoEModel, step: Step, expert_map: ExpertMap, layer: int, row: int | None) -> object:
    """What decides the operators of a layer: equal keys share one computation."""
    if row is None:
        return model.layers[layer]
    routing = row if step.routing is not None else None
    return (
        model.layers[layer],
        step.loads[row].tobytes(),
        step.touched[row].tobytes(),
        expert_map.slots[row].tobytes(),
        routing,
    )


def _edge(shards: Shards) -> Drafts:
    return Drafts(shards.parallel.stage_devices, len(shards.system.tiers))


def _embedding(shards: Shards) -> Drafts:
    """One row of the table for each token, read and written.

    A replica's devices hold a part of the rows each, so they join what they found."""
    out, model = _edge(shards), shards.model
    side = "encoder" if shards.model.two_stacks else "decoder"
    tokens = shards.tokens(side) + (shards.tokens("decoder") if shards.model.two_stacks else 0.0)
    moved = tokens * model.hidden
    out.add(
        "embedding.rows",
        model.formats.activations,
        weights=moved / shards.parallel.tp * size_of(shards, "head"),
        activations=moved * size_of(shards, "activations"),
    )
    all_reduce(out, shards, tokens, "embedding")
    return out


def _head(shards: Shards) -> Drafts:
    """Logits of the tokens that predict: the vocabulary is split over a replica, then gathered."""
    out, model, tp = _edge(shards), shards.model, shards.parallel.tp
    tokens = shards.decodes.sum(axis=0) if shards.model.two_stacks else shards.outputs()
    size = size_of(shards, "activations")
    columns = model.vocab / tp
    out.add(
        "head.logits",
        model.formats.head,
        flops=2.0 * tokens * model.hidden * columns,
        weights=(tokens > 0) * (model.hidden * columns * size_of(shards, "head")),
        activations=tokens * (model.hidden + columns) * size,
        shape=Matrix(rows=tokens, inputs=model.hidden, outputs=columns),
    )
    if tp > 1:
        payload = tokens * model.vocab * size
        link, latency_s = group_link(shards.system, shards.first, tp, payload, "all-gather")
        out.add(
            "all-gather.logits",
            model.formats.activations,
            link=link,
            group="replica",
            latency_s=latency_s,
        )
    return out


def _send(shards: Shards, side: str) -> Drafts:
    """Each device sends its part of the hidden rows to its partner in the next stage.

    An encoder's rows go on through the decoder's stages, whose cross-attention needs them.
    """
    out, model, system = _edge(shards), shards.model, shards.system
    n = shards.parallel.stage_devices
    tokens = shards.tokens(side)
    if model.two_stacks and side == "decoder":
        tokens = tokens + shards.tokens("encoder")
    sent = tokens / shards.parallel.tp * model.hidden * size_of(shards, "activations")
    link = np.zeros((n, len(system.tiers)))
    tiers = [system.tier(shards.first + place, shards.first + place + n) for place in range(n)]
    for place, tier in enumerate(tiers):
        link[place, system.tiers.index(tier)] = sent[place]
    out.add(
        "send.hidden",
        model.formats.activations,
        link=link,
        group="pipeline",
        latency_s=latency_of([(tier, 2) for tier in tiers]),
    )
    return out


def _assembled(parts: list[Part], parallel: Parallel, tokens: int, tiers: int) -> OperatorTable:
    count = sum(len(drafts.made) for _, _, drafts in parts)
    devices, n = parallel.devices, parallel.stage_devices
    names = (
        "flops",
        "weight_bytes",
        "activation_bytes",
        "kv_bytes",
        "cache_bytes",
        "rows_per_expert",
        "token_weight_bytes",
    )
    columns = {name: np.zeros((count, devices)) for name in names}
    link = np.zeros((count, devices, tiers))
    made: list[Operator] = []
    for first, layer, drafts in parts:
        base = len(made)
        for draft in drafts.made:
            place = len(made)
            for name in names:
                columns[name][place, first : first + n] = getattr(draft, name)
            link[place, first : first + n] = draft.link_bytes
            made.append(_operator(draft, layer, base))
    return OperatorTable(
        operators=tuple(made),
        link_bytes=link,
        tp=parallel.tp,
        stage_devices=n,
        tokens=tokens,
        **columns,
    )


def _operator(draft: Draft, layer: int, base: int) -> Operator:
    after = tuple(base + place for place in draft.after if base + place >= 0)
    return Operator(
        name=draft.name,
        layer=layer,
        dtype=draft.dtype,
        after=after,
        group=draft.group,
        latency_s=draft.latency_s,
        shape=draft.shape,
    )
