"""The operators of one layer: mixers, then a dense block or experts, with their collectives."""

from __future__ import annotations

import numpy as np

from ..workload import Dense, ExpertMap, Experts, Layer
from .dense import elementwise
from .experts import copy_touched, expert_matrices
from .links import expert_link, group_link, top_k_of
from .mixers import MIXERS
from .pieces import all_reduce, block, norm, product, size_of
from .shapes import Routed
from .shards import Drafts, Shards
from .table import Floats


def layer_drafts(shards: Shards, layer: Layer, row: int | None, expert_map: ExpertMap) -> Drafts:
    """The operators of `layer` on the devices of a stage; `row` counts the MoE layers."""
    out = Drafts(shards.parallel.stage_devices, len(shards.system.tiers))
    tokens = shards.tokens(layer.side)
    for mixer in layer.mixers:
        norm(out, shards, tokens)
        MIXERS[type(mixer)](out, shards, mixer, layer.side)
        all_reduce(out, shards, tokens, "attention")
    norm(out, shards, tokens)
    if isinstance(layer.ffn, Dense):
        block(out, shards, tokens, "dense", layer.ffn.inter, layer.ffn.gated)
        all_reduce(out, shards, tokens, "dense")
    else:
        assert row is not None
        _experts(out, shards, layer.ffn, tokens, row, expert_map)
    return out


def _experts(
    out: Drafts,
    shards: Shards,
    ffn: Experts,
    tokens: Floats,
    row: int,
    expert_map: ExpertMap,
) -> None:
    start = out.last
    parallel = shards.parallel
    product(
        out, shards, "router.gate", tokens, shards.model.hidden, ffn.count, "head", after=(start,)
    )
    apart = parallel.dp > 1  # the tokens of a stage lie on several replicas
    moved = _moved(shards, tokens, row, expert_map) if apart else None
    if moved:
        _exchange(out, shards, moved, "dispatch")
    arrived = out.last
    # Shared experts need no routing: they run while tokens travel.
    ends: list[int] = []
    for name, inter in (("shared", ffn.shared_inter), ("dense", ffn.dense_inter)):
        if inter:
            ends.append(block(out, shards, tokens, name, inter, ffn.gated, (start,)))
    _routed(out, shards, ffn, row, expert_map, arrived)
    if moved:
        _exchange(out, shards, moved, "combine")
    size, width = size_of(shards, "activations"), shards.model.hidden
    share = tokens / parallel.tp
    out.add(
        "experts.combine",
        shards.model.formats.activations,
        flops=2.0 * share * ffn.top_k * width,
        activations=elementwise(share, ffn.top_k * width, width, size),
        after=(out.last, *ends),
    )
    # Where every device holds a part of every expert, the way back has added all parts already.
    partial = not apart or parallel.ep > 1 or len(ends) > 0
    all_reduce(out, shards, tokens, "experts", "all-reduce" if partial else "all-gather")


def _routed(
    out: Drafts, shards: Shards, ffn: Experts, row: int, expert_map: ExpertMap, arrived: int
) -> None:
    """The two grouped products of the routed experts on each device."""
    parallel, width = shards.parallel, shards.model.hidden
    inter = ffn.inter / parallel.expert_tp
    shape = _routed_shape(shards, ffn, row, expert_map)
    rows, touched = (
        np.bincount(shape.rank, held, minlength=parallel.ep).astype(float).repeat(shape.each)
        for held in (shape.loads, shape.touched)
    )
    sizes = size_of(shards, "experts"), size_of(shards, "activations")
    per_expert = np.divide(rows, touched, out=np.zeros_like(rows), where=touched > 0)
    reached = float(touched.sum()) / parallel.expert_tp
    one_token = min(1.0, ffn.top_k / max(reached, 1e-30))
    for name, inputs, outputs in (
        ("experts.gate_up", width, (2 if ffn.gated else 1) * inter),
        ("experts.down", inter, width),
    ):
        flops, weights, moved = expert_matrices(rows, touched, inputs, outputs, *sizes)
        out.add(
            name,
            shards.model.formats.experts,
            flops=flops,
            weights=weights,
            activations=moved,
            rows=per_expert,
            token_weights=weights * one_token,
            shape=shape,
            after=(arrived,) if name == "experts.gate_up" else None,
        )


def _routed_shape(shards: Shards, ffn: Experts, row: int, expert_map: ExpertMap) -> Routed:
    """What the copies of the experts in MoE layer `row` are given.

    The tokens of a replicated expert are dealt to its copies at random, evenly.
    """
    step, parallel = shards.step, shards.parallel
    slots = expert_map.slots[row]
    copies = np.bincount(slots, minlength=expert_map.experts)
    loads = step.loads[row]
    tokens = float(loads.sum()) / top_k_of(shards, row)
    return Routed(
        tokens=tokens,
        top_k=ffn.top_k,
        hidden=shards.model.hidden,
        inter=ffn.inter / parallel.expert_tp,
        gated=ffn.gated,
        rank=expert_map.ranks.astype(np.int64),
        loads=(loads / copies)[slots],
        touched=copy_touched(loads, step.touched[row], copies, tokens)[slots],
        counted=step.routing is not None,
        each=parallel.expert_tp,
    )


def _moved(shards: Shards, tokens: Floats, row: int, expert_map: ExpertMap) -> tuple[Floats, float]:
    """Link bytes and latency of tokens on their way to experts, or back: by expert where experts
    are spread, else all to all."""
    if shards.parallel.ep > 1:
        return expert_link(shards, row, expert_map)
    size = shards.model.hidden * size_of(shards, "activations")
    whole = np.full(tokens.size, tokens[:: shards.parallel.tp].sum() * size)
    return group_link(shards.system, shards.first, tokens.size, whole, "all-gather")


def _exchange(out: Drafts, shards: Shards, moved: tuple[Floats, float], name: str) -> None:
    link, latency_s = moved
    out.add(
        f"{name}.experts",
        shards.model.formats.activations,
        link=link,
        group="stage",
        latency_s=latency_s,
    )
