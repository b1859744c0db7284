"""LLEP: tokens of overfull ranks spill to the least loaded, and their expert's weights with them.

Source: arXiv 2601.17111 and github.com/SalesforceAIResearch/LeastLoadedEP. The plan is made anew
for the loads of each step; the map itself stays.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap

Ints = NDArray[np.int64]


class SpillPlan(msgspec.Struct, frozen=True):
    """tokens: int64 `[experts, ranks]`, what each rank computes. fetched: bool `[experts, ranks]`,
    weights that a rank gets for this step. forced: chunks that no rank had room for."""

    tokens: Ints
    fetched: NDArray[np.bool_]
    forced: int = 0

    @property
    def loads(self) -> Ints:
        """Tokens of each rank."""
        return np.asarray(self.tokens.sum(axis=0))

    @property
    def imbalance(self) -> float:
        """Busiest over mean rank; 1 where there are no tokens."""
        total = int(self.tokens.sum())
        return float(self.loads.max() * len(self.loads) / total) if total else 1.0


def spill_map(
    expert_map: ExpertMap,
    row: int,
    loads: Ints,
    *,
    alpha: float = 1.0,
    least_chunk: int = 1024,
    trigger: float = 1.3,
) -> SpillPlan:
    """The plan for layer `row` of a map: loads `[experts]` of one step, in whole tokens.

    Copies of an expert share its tokens evenly to begin with; published maps have one copy each.
    """
    held = expert_map.slots[row].astype(np.int64)
    tokens = _whole(loads, expert_map.experts)
    copies = np.bincount(held, minlength=expert_map.experts)
    seen = np.zeros(expert_map.experts, np.int64)
    native = np.empty(len(held), np.int64)
    for slot, expert in enumerate(held.tolist()):
        base, more = divmod(int(tokens[expert]), int(copies[expert]))
        native[slot] = base + (seen[expert] < more)
        seen[expert] += 1
    plan = spill(
        native,
        expert_map.ranks,
        expert_map.devices,
        alpha=alpha,
        least_chunk=least_chunk,
        trigger=trigger,
    )
    shape = (expert_map.experts, expert_map.devices)
    by_expert, here = np.zeros(shape, np.int64), np.zeros(shape, bool)
    np.add.at(by_expert, held, plan.tokens)
    here[held, expert_map.ranks] = True
    return SpillPlan(by_expert, (by_expert > 0) & ~here, plan.forced)


def spill(
    loads: Ints,
    homes: NDArray[np.integer],
    ranks: int,
    *,
    alpha: float = 1.0,
    least_chunk: int = 1024,
    trigger: float = 1.3,
) -> SpillPlan:
    """The plan for experts of one home each: loads, homes `[experts]`.

    The heaviest expert first. Its home keeps what fits under `alpha` times the mean beside the
    loads that its other experts may still bring; the rest goes to the ranks with the least, in
    chunks that fit there. Chunks below `least_chunk` are not worth the weights and are passed over
    unless nothing else is left; what fits nowhere is forced onto the least loaded rank. Below
    `trigger` times the mean nothing is moved.
    """
    loads = _whole(loads, len(homes))
    _check(homes, ranks, alpha, least_chunk, trigger)
    tokens = np.zeros((len(loads), ranks), np.int64)
    pending = np.zeros(ranks, np.int64)
    np.add.at(pending, homes, loads)
    total = int(loads.sum())
    if int(pending.max()) * ranks < trigger * total:
        tokens[np.arange(len(loads)), homes] = loads
        return SpillPlan(tokens, np.zeros(tokens.shape, bool))
    room = math.ceil(alpha * total / ranks)
    assigned, forced = np.zeros(ranks, np.int64), 0
    for expert in np.argsort(-loads, kind="stable").tolist():
        home, left = int(homes[expert]), int(loads[expert])
        pending[home] -= left
        kept = max(0, min(room - int(assigned[home] + pending[home]), left))
        tokens[expert, home] += kept
        assigned[home] += kept
        forced += _spread(left - kept, home, room, least_chunk, tokens[expert], assigned, pending)
    home_of = np.zeros(tokens.shape, bool)
    home_of[np.arange(len(loads)), homes] = True
    return SpillPlan(tokens, (tokens > 0) & ~home_of, forced)


def _spread(
    left: int, home: int, room: int, least: int, tokens: Ints, assigned: Ints, pending: Ints
) -> int:
    """Deals `left` tokens of an expert to other ranks; returns how many chunks were forced."""
    forced = 0
    while left > 0:
        due = assigned + pending
        others = [int(r) for r in np.argsort(due, kind="stable") if r != home] or [home]
        chunks = [(rank, min(left, room - int(due[rank]))) for rank in others]
        worth = [(rank, size) for rank, size in chunks if size >= min(least, left) and size > 0]
        if worth:
            rank, size = worth[0]
        else:
            rank, size = int(due.argmin()), left
            forced += 1
        tokens[rank] += size
        assigned[rank] += size
        left -= size
    return forced


def _whole(loads: Ints, experts: int) -> Ints:
    found = np.asarray(loads)
    if found.shape != (experts,):
        raise BadInput(f"needs [{experts} experts], got the shape {found.shape}", key="loads")
    if not np.isfinite(found).all() or (found < 0).any() or (found != np.floor(found)).any():
        raise BadInput("must be whole tokens of one step, not negative", key="loads")
    return found.astype(np.int64)


def _check(
    homes: NDArray[np.integer], ranks: int, alpha: float, least_chunk: int, trigger: float
) -> None:
    if ranks < 1 or homes.min(initial=0) < 0 or homes.max(initial=0) >= ranks:
        raise BadInput(f"must lie in 0..{ranks - 1}", key="homes")
    if not 1 <= alpha < float("inf"):
        raise BadInput("must be at least 1 (the mean)", key="alpha", value=alpha)
    if least_chunk < 1:
        raise BadInput("must be at least 1 token", key="least_chunk", value=least_chunk)
    if not 1 <= trigger < float("inf"):
        raise BadInput("must be at least 1 (the mean)", key="trigger", value=trigger)
