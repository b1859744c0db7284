"""The checker of proofs on hops: shares no line with the solvers and the bounds."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .placement import HopCertificate, HopProof, Placement
from .problem import Problem

MOST_STATES = 4000
"""Placements of one layer that are tried again here; beyond that a search is taken on trust."""
SLACK = 1e-9


def verify_hops(problem: Problem, placement: Placement) -> bool | None:
    """Re-derives the cost of hops and its bound; None where there is none to check.

    True: the bound stands by itself. False: it rests on a search too large to repeat here. Raises
    BadInput at the first thing that does not hold.
    """
    certificate, hops = placement.hop_certificate, placement.hops
    if certificate is None or hops is None:
        return None
    if problem.transitions is None or certificate.problem != problem.hop_fingerprint():
        raise BadInput("the proof on hops speaks of other transitions", key="certificate")
    total = float(problem.transitions.sum())
    reached = _hop_cost(problem, placement) / total
    if abs(reached - hops.reached) > SLACK:
        raise BadInput(f"said {hops.reached:g}, found {reached:g}", key="hops")
    if certificate.exhaustive and _states(problem) > MOST_STATES:
        return False
    bound = _cheapest(problem) if certificate.exhaustive else _proven(problem, certificate)
    if certificate.bound > bound + SLACK * total or hops.bound > bound / total + SLACK:
        raise BadInput(
            f"the proofs give a bound of {bound / total:g}, not {hops.bound:g}", key="hops"
        )
    return True


def _hop_cost(problem: Problem, placement: Placement) -> float:
    """Every hop at its price, by the table of prices between ranks."""
    assert problem.transitions is not None
    price, cost, before = problem.hop_costs(), 0.0, None
    for row, slots in enumerate(placement.expert_map.slots):
        share = np.zeros((problem.experts, problem.ranks))
        for expert, rank in zip(slots.tolist(), placement.expert_map.ranks.tolist(), strict=True):
            share[expert, rank] += 1
        share /= share.sum(axis=1, keepdims=True)
        if before is not None:
            between = before.T @ problem.transitions[row - 1] @ share
            cost += float((between * price).sum())
        before = share
    return cost


def _proven(problem: Problem, certificate: HopCertificate) -> float:
    """What the proofs add up to: leaving a rank costs 1, leaving a node `node_cost` - 1 more."""
    assert problem.transitions is not None
    price = {1: 1.0, problem.node_ranks: problem.node_cost - 1}
    if problem.node_ranks == 1:
        price = {1: problem.node_cost}
    if len({proof.group for proof in certificate.proofs}) != len(certificate.proofs):
        raise BadInput("counts one kind of hop twice", key="certificate")
    bound = 0.0
    for proof in certificate.proofs:
        if proof.group not in price:
            raise BadInput(f"speaks of runs of {proof.group} ranks", key="certificate")
        kept = sum(_kept_most(problem, proof, pair) for pair in range(len(problem.transitions)))
        bound += price[proof.group] * max(0.0, float(problem.transitions.sum()) - kept)
    return bound


def _kept_most(problem: Problem, proof: HopProof, pair: int) -> float:
    """The value of one pair's proof, from the inequality alone (`bounds/split.py` says why)."""
    assert problem.transitions is not None
    flow = problem.transitions[pair]
    experts, u, v = len(flow), proof.duals[pair, 0], proof.duals[pair, 1]
    run = problem.slots_per_rank.reshape(-1, proof.group).sum(axis=1)
    slots, alike = int(run.max()), problem.slots == problem.experts and len(set(run.tolist())) == 1
    if not alike and (u.min() < 0 or v.min() < 0):
        raise BadInput("needs duals that are not negative for unequal ranks", key="certificate")
    matched = flow if proof.part is None else proof.part[pair].astype(np.float64)
    most = slots * float(u.sum() + v.sum()) + float((matched - u[:, None] - v).clip(0).sum())
    if proof.part is None:
        return most
    if proof.load_duals is None or proof.load_duals.min() < 0:
        raise BadInput("needs load duals that are not negative", key="certificate")
    alpha, beta = proof.load_duals[pair]
    into, out_of = flow.sum(axis=0), flow.sum(axis=1)
    if alpha.any() or beta.any():
        loads = problem.loads[pair : pair + 2]
        binds = np.allclose([out_of, into], loads, rtol=SLACK)
        if not binds or not np.isfinite(problem.caps).all():
            raise BadInput("uses a cap that does not bind these transitions", key="certificate")
        mean = float(flow.sum()) / len(run)
        most += mean * float(problem.caps[pair + 1] * alpha.sum() + problem.caps[pair] * beta.sum())
    rest = flow - matched - np.outer(alpha, into) - np.outer(out_of, beta)
    if alike:
        mean_row, mean_column = rest.mean(axis=1, keepdims=True), rest.mean(axis=0, keepdims=True)
        inner = np.linalg.svd(rest - mean_row - mean_column + rest.mean(), compute_uv=False)
        return most + slots * float(inner[: len(run) - 1].sum() + rest.sum() / experts)
    left = float(experts)
    for value in np.linalg.svd(rest, compute_uv=False).tolist():
        most += value * min(left, slots)
        left -= min(left, slots)
    return most


def _cheapest(problem: Problem) -> float:
    """The cheapest chain of placements, one a layer, by trying all pairs of neighbours."""
    assert problem.transitions is not None
    homes = _all_homes(problem)
    here = np.eye(problem.ranks)[homes]
    flat = here.reshape(len(homes), -1)
    price, best = problem.hop_costs(), np.zeros(len(homes))
    for row, loads in enumerate(problem.loads):
        if row:
            # reached[s] = cost of a hop from state s to each (expert, rank) of this layer.
            reached = np.einsum("ser,ef,rq->sfq", here, problem.transitions[row - 1], price)
            best = (best[:, None] + reached.reshape(len(homes), -1) @ flat.T).min(axis=0)
        busiest = (here * loads[:, None]).sum(axis=1).max(axis=1)
        best = np.where(
            busiest
            > problem.caps[row] * loads.mean() * problem.experts / problem.ranks * (1 + SLACK),
            np.inf,
            best,
        )
    return float(best.min())


def _states(problem: Problem) -> int:
    """Ways to fill the ranks of one layer."""
    left, ways = problem.experts, 1
    for slots in problem.slots_per_rank.tolist():
        ways *= math.comb(left, slots)
        left -= slots
    return ways


def _all_homes(problem: Problem) -> NDArray[np.int64]:
    """Every way to fill the ranks of one layer: `[states, experts]`."""
    found = [np.full(problem.experts, -1)]
    for rank, slots in enumerate(problem.slots_per_rank.tolist()):
        longer = []
        for homes in found:
            for chosen in itertools.combinations(np.flatnonzero(homes < 0).tolist(), slots):
                filled = homes.copy()
                filled[list(chosen)] = rank
                longer.append(filled)
        found = longer
    return np.stack(found)
