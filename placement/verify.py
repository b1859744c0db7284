"""The checker of certificates: shares no line with the solvers and the bounds."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .placement import Placement, Proof
from .problem import Problem
from .verify_hops import verify_hops

MOST_NODES = 20_000
"""Search nodes spent on one layer before its bound is left to the solver's word."""
SLACK = 1e-9


class Verified(msgspec.Struct, frozen=True):
    """What was re-derived: `rank_max [moe_layers]`, and the layers whose bound stands by itself.

    The layers in `on_trust` rest on a solver's search that is too large to repeat here. hops: the
    bound on hops stands by itself; None where there is none.
    """

    rank_max: NDArray[np.float64]
    checked: tuple[int, ...]
    on_trust: tuple[int, ...]
    hops: bool | None = None


def verify(problem: Problem, placement: Placement) -> Verified:
    """Re-derives the loads and every bound; raises BadInput at the first that does not hold."""
    if placement.certificate.problem != problem.fingerprint():
        raise BadInput(
            "the certificate speaks of other loads: check it with the trace that it was made from",
            key="certificate",
        )
    proofs = placement.certificate.proofs
    if [proof.layer for proof in proofs] != list(problem.layers):
        raise BadInput("must hold one proof for each layer, in order", key="certificate")
    rank_max = _rank_max(problem, placement)
    _agree("rank_max", placement.rank_max, rank_max, problem.layers)
    _agree("bound", placement.bound, np.array([p.bound for p in proofs]), problem.layers)
    checked: list[int] = []
    on_trust: list[int] = []
    for row, proof in enumerate(proofs):
        if not 0 < proof.bound < float("inf"):
            raise BadInput(
                f"layer {proof.layer}: {proof.bound:g} bounds nothing", key="certificate"
            )
        if proof.bound > rank_max[row] * (1 + SLACK):
            raise BadInput(
                f"layer {proof.layer}: the bound {proof.bound:g} lies above the placement itself, "
                f"{rank_max[row]:g}",
                key="certificate",
            )
        holds = _holds(problem.loads[row].tolist(), problem.slots_per_rank.tolist(), proof)
        (on_trust if holds is None else checked).append(proof.layer)
        if holds is False:
            raise BadInput(
                f"layer {proof.layer}: the proof by {proof.kind} does not give the bound "
                f"{proof.bound:g}",
                key="certificate",
            )
    return Verified(rank_max, tuple(checked), tuple(on_trust), verify_hops(problem, placement))


def _rank_max(problem: Problem, placement: Placement) -> NDArray[np.float64]:
    slots, ranks = placement.expert_map.slots, placement.expert_map.ranks
    if slots.shape != (len(problem.layers), problem.slots) or len(ranks) != problem.slots:
        raise BadInput("the map has another shape than the problem", key="expert map")
    if np.bincount(ranks, minlength=problem.ranks).tolist() != problem.slots_per_rank.tolist():
        raise BadInput("the map fills the ranks otherwise than the problem asks", key="expert map")
    out = []
    for loads, row in zip(problem.loads, slots, strict=True):
        copies = [0] * problem.experts
        for expert in row.tolist():
            copies[expert] += 1
        if min(copies) < 1:
            raise BadInput("a layer does not hold each expert", key="expert map")
        on_rank = [0.0] * problem.ranks
        for expert, rank in zip(row.tolist(), ranks.tolist(), strict=True):
            on_rank[rank] += float(loads[expert]) / copies[expert]
        out.append(max(on_rank))
    return np.array(out)


def _agree(
    name: str, said: NDArray[np.float64], found: NDArray[np.float64], layers: tuple[int, ...]
) -> None:
    if said.shape != found.shape:
        raise BadInput(f"needs {len(found)} numbers, holds {said.size}", key=name)
    off = ~np.isclose(said, found, rtol=SLACK, atol=0)
    if off.any():
        row = int(off.argmax())
        raise BadInput(f"layer {layers[row]}: said {said[row]:g}, found {found[row]:g}", key=name)


def _holds(loads: list[float], slots: list[int], proof: Proof) -> bool | None:
    """Whether the proof gives its bound; None where that is too much work to see here."""
    if proof.kind == "mean":
        share = sum(loads) / len(slots)
        if sum(slots) == len(loads) and all(load.is_integer() for load in loads):
            share = -(-int(sum(loads)) // len(slots))
        return proof.bound <= share * (1 + SLACK)
    if proof.kind == "copies":
        # A busiest rank below the bound has no copy above it: the experts then need more slots.
        under, most = proof.bound * (1 - SLACK), sum(slots)
        return sum(max(1, math.ceil(min(load / under, most + 1))) for load in loads) > most
    if sum(slots) > len(loads):
        return False
    if proof.kind == "pigeonhole":
        return proof.bound <= _least_meeting(loads, slots, proof.depth) * (1 + SLACK)
    if proof.kind == "search":
        return _none_below(sorted(loads, reverse=True), slots, proof.bound * (1 - SLACK))
    return False


def _least_meeting(loads: list[float], slots: list[int], depth: int) -> float:
    """The least load of a rank that holds `depth` of the (depth-1) * ranks + 1 hottest experts."""
    hot = (depth - 1) * len(slots) + 1
    if depth < 1 or hot > len(loads) or depth > max(slots):
        return 0.0
    rising = sorted(loads)
    hottest, rest = rising[len(rising) - hot :], rising[: len(rising) - hot]
    return sum(hottest[:depth]) + sum(rest[: max(0, min(slots) - depth)])


def _none_below(loads: list[float], slots: list[int], bound: float) -> bool | None:
    """Whether no placement keeps every rank below `bound`: all are tried, or None is said."""
    room, free, nodes = [bound] * len(slots), list(slots), 0

    def place(i: int) -> bool | None:
        nonlocal nodes
        if i == len(loads):
            return False
        seen = set()
        for rank in range(len(slots)):
            state = (room[rank], free[rank])
            # Two ranks in the same state lead to the same placements.
            if state in seen or free[rank] == 0 or loads[i] >= room[rank]:
                continue
            seen.add(state)
            nodes += 1
            if nodes > MOST_NODES:
                return None
            room[rank] -= loads[i]
            free[rank] -= 1
            result = place(i + 1)
            room[rank], free[rank] = state
            if result is not True:
                return result
        return True

    # Each level is one expert; layers deeper than this are not searched by hand anyway.
    return place(0) if len(loads) <= 200 else None
