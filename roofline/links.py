"""Bytes that each device puts on each tier of links: collectives and expert traffic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput, number_format
from ..hardware import System, Tier
from ..workload import ExpertMap, Experts
from .collectives import all_gather, all_reduce
from .experts import distinct_groups
from .shards import Shards
from .table import Floats


def group_link(
    system: System, first: int, members: int, payload: Floats, kind: str
) -> tuple[Floats, float]:
    """Link bytes `[devices, tiers]` and latency of a collective in each run of `members` ranks.

    payload: `[devices]`, bytes that each device ends with; the devices are ranks from `first` on.
    kind: 'all-reduce', or 'all-gather' (which a reduce-scatter equals in bytes).
    """
    out, latency_s = np.zeros((payload.size, len(system.tiers))), 0.0
    cost = all_reduce if kind == "all-reduce" else all_gather
    for start in range(0, payload.size, members):
        run = slice(start, start + members)
        crossed = system.spans(range(first + start, first + start + members))
        moved = cost(payload[run], [width for _, width in crossed])
        for (tier, _), part in zip(crossed, moved, strict=True):
            out[run, system.tiers.index(tier)] += part
        latency_s = max(latency_s, latency_of(crossed))
    return out, latency_s


def latency_of(crossed: Sequence[tuple[Tier, int]]) -> float:
    """The latency of one message over the farthest tier: no collective can be quicker."""
    return max((tier.link.latency_s for tier, _ in crossed), default=0.0)


def expert_link(shards: Shards, row: int, expert_map: ExpertMap) -> tuple[Floats, float]:
    """Link bytes `[devices, tiers]` and latency of sending tokens to their experts.

    A token goes once to each distinct device that needs it in its own node, and once to each
    distinct node (or larger group) beyond. Devices of its own replica hold it already: they are
    sent nothing, and their results meet in the replica's all-reduce. The tp devices of a replica
    send a share each; what a node receives is shared by the links of its devices. Forwarding
    inside the far node is not counted. The way back moves the same bytes.
    """
    parallel, system = shards.parallel, shards.system
    n, tp, etp = parallel.stage_devices, parallel.tp, parallel.expert_tp
    place = np.arange(n)
    device, replica = shards.first + place, place // tp
    element = shards.model.hidden * _activation_size(shards)
    out = np.zeros((n, len(system.tiers)))
    inner, reached = 1, []
    for t, tier in enumerate(system.tiers):
        outer = inner * tier.size
        # Units of this tier: single devices at first, then nodes, and so on.
        units, unit_of = np.unique(device // inner, return_inverse=True)
        if units.size == 1:
            break
        hits = _hits(shards, row, expert_map, _experts_of_units(unit_of, etp))
        from_device = hits[replica] / tp
        own = np.zeros((parallel.dp, units.size), bool)
        own[replica, unit_of] = True
        peer = ~own[replica] & (device[:, None] // outer == units * inner // outer)
        sent = (from_device * peer).sum(axis=1)
        received = ((from_device * peer).sum(axis=0) / np.bincount(unit_of))[unit_of]
        out[:, t] = np.maximum(sent, received) * element
        if peer.any():
            reached.append((tier, 2))
        inner = outer
    return out, latency_of(reached)


def _activation_size(shards: Shards) -> float:
    return number_format(shards.model.formats.activations).bytes_per_element


def _experts_of_units(unit_of: NDArray[np.int64], etp: int) -> list[list[int]]:
    """The expert groups (ranks of the expert map) that have a device in each unit."""
    homes: list[list[int]] = [[] for _ in range(int(unit_of[-1]) + 1)]
    for place, unit in enumerate(unit_of):
        group = place // etp
        if group not in homes[unit]:
            homes[unit].append(group)
    return homes


def _hits(
    shards: Shards, row: int, expert_map: ExpertMap, homes: list[list[int]]
) -> NDArray[np.float64]:
    """Tokens of each replica that need some expert of each unit: `[replicas, units]`."""
    step, tp = shards.step, shards.parallel.tp
    slots = expert_map.slots[row]
    copies = np.bincount(slots, minlength=expert_map.experts)
    units_of_rank: dict[int, list[int]] = {}
    for unit, ranks in enumerate(homes):
        for rank in ranks:
            units_of_rank.setdefault(rank, []).append(unit)
    if step.routing is not None and copies.max() == 1:
        return _exact_hits(shards, row, expert_map, units_of_rank, len(homes))
    loads = step.loads[row]
    per_slot = (loads / copies)[slots]
    total = max(float(loads.sum()), 1e-300)  # a step may leave a side of the model without tokens
    load_of_rank = np.bincount(expert_map.ranks, per_slot, minlength=shards.parallel.ep)
    share = np.array([load_of_rank[ranks].sum() for ranks in homes]) / total
    experts, top_k = expert_map.experts, top_k_of(shards, row)
    chance = np.array([distinct_groups(experts, experts * part, top_k) for part in share])
    layer = shards.model.layers[shards.model.moe_layers[row]]
    return np.outer(shards.tokens(layer.side)[::tp], chance)


def _exact_hits(
    shards: Shards,
    row: int,
    expert_map: ExpertMap,
    units_of_rank: dict[int, list[int]],
    units: int,
) -> NDArray[np.float64]:
    """The same counted token by token, where each expert has one home and the routing is known."""
    step, replicas = shards.step, shards.parallel.dp
    assert step.routing is not None
    ids = step.routing[:, row]
    home = np.zeros(expert_map.experts + 1, np.int64)
    home[expert_map.slots[row]] = expert_map.ranks
    rank_of = home[ids]
    needs = np.zeros((ids.shape[0], units), bool)
    for rank, reached in units_of_rank.items():
        needs[:, reached] |= ((rank_of == rank) & (ids >= 0)).any(axis=1)[:, None]
    source = np.arange(ids.shape[0]) % replicas if step.source_rank is None else step.source_rank
    if source.size and not 0 <= source.min() <= source.max() < replicas:
        raise BadInput(
            f"names replicas {source.min()}..{source.max()}; dp {replicas} has 0..{replicas - 1}",
            key="source_rank",
        )
    out = np.zeros((replicas, units))
    np.add.at(out, source, needs.astype(float))
    return out


def top_k_of(shards: Shards, row: int) -> int:
    """Experts that a token takes in MoE layer `row`."""
    ffn = shards.model.layers[shards.model.moe_layers[row]].ffn
    assert isinstance(ffn, Experts)
    return ffn.top_k
