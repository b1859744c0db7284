"""The checker of proofs on hops: shares no line with the solvers and the bounds."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from .placement import HopCertificate, HopProof, Placement
from .problem import Problem

Floats = NDArray[np.float64]

MOST_STATES = 4000
"""Placements of one layer that are tried again here; beyond that a search is taken on trust."""
MOST_CLAIMED = 20_000
"""Placements of one layer beyond which no search is believed: no method here tries more."""
SLACK = 1e-9
TINY = 1e-12
"""Shares closer than this are one: far below a single assignment of any trace."""
EPSILON = float(np.finfo(np.float64).eps)


def verify_hops(problem: Problem, placement: Placement) -> bool | None:
    """Re-derives the cost of hops and its bound; None where there is none to check.

    The rank loads of `placement` have been checked before (`verify`). True: the bound stands by
    itself. False: it rests on a search too large to repeat here. Raises BadInput at the first thing
    that does not hold.
    """
    certificate, hops = placement.hop_certificate, placement.hops
    if certificate is None and hops is None:
        return None
    if certificate is None or hops is None:
        raise BadInput("a bound on hops and its proof belong together", key="certificate")
    flow = problem.transitions
    if flow is None or not flow.any() or certificate.problem != problem.hop_fingerprint():
        raise BadInput("the proof on hops speaks of other transitions", key="certificate")
    if (placement.rank_max > problem.caps * problem.mean_loads * (1 + 2 * SLACK)).any():
        raise BadInput("speaks of maps under a cap that this map does not keep", key="certificate")
    total = float(flow.sum())
    _agree("reached", hops.reached, _hop_cost(problem, placement, flow) / total)
    _agree("by_chance", hops.by_chance, _hop_cost(problem, placement, _by_chance(flow)) / total)
    _agree("bound", hops.bound, certificate.bound / total)
    if not 0 <= hops.bound <= hops.reached * (1 + SLACK) + TINY:
        raise BadInput(f"a bound of {hops.bound:g} for {hops.reached:g} cannot be", key="hops")
    if certificate.exhaustive and _states(problem) > MOST_STATES:
        if _states(problem) > MOST_CLAIMED:
            raise BadInput(f"claims {_states(problem)} placements tried", key="certificate")
        return False
    bound = _cheapest(problem) if certificate.exhaustive else _proven(problem, certificate)
    if not certificate.bound <= bound * (1 + SLACK) + SLACK * total:
        raise BadInput(
            f"the proofs give a bound of {bound / total:g}, not {hops.bound:g}", key="hops"
        )
    return True


def _agree(name: str, said: float, found: float) -> None:
    if not math.isclose(said, found, rel_tol=SLACK, abs_tol=TINY):
        raise BadInput(f"{name}: said {said:g}, found {found:g}", key="hops")


def _by_chance(flow: Floats) -> Floats:
    """The same loads where the next expert does not depend on this one."""
    total = np.maximum(flow.sum(axis=(1, 2), keepdims=True), 1e-300)
    return np.asarray(flow.sum(axis=2, keepdims=True) * flow.sum(axis=1, keepdims=True) / total)


def _hop_cost(problem: Problem, placement: Placement, flow: Floats) -> float:
    """Every hop of `flow` at its price, by the table of prices between ranks."""
    price, cost, before = problem.hop_costs(), 0.0, None
    for row, slots in enumerate(placement.expert_map.slots):
        share = np.zeros((problem.experts, problem.ranks))
        for expert, rank in zip(slots.tolist(), placement.expert_map.ranks.tolist(), strict=True):
            share[expert, rank] += 1
        share /= share.sum(axis=1, keepdims=True)
        if before is not None:
            between = before.T @ flow[row - 1] @ share
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
    bound, total = 0.0, float(problem.transitions.sum())
    for proof in certificate.proofs:
        if proof.group not in price:
            raise BadInput(f"speaks of runs of {proof.group} ranks", key="certificate")
        kept = sum(_kept_most(problem, proof, pair) for pair in range(len(problem.transitions)))
        # What rounding may have left over is no hop, whatever a hop costs.
        bound += price[proof.group] * (total - kept if total - kept > SLACK * total else 0.0)
    return bound


def _kept_most(problem: Problem, proof: HopProof, pair: int) -> float:
    """The value of one pair's proof, from the inequality alone (`bounds/split.py` says why)."""
    assert problem.transitions is not None
    flow, (u, v) = problem.transitions[pair], proof.duals[pair]
    run = problem.slots_per_rank.reshape(-1, proof.group).sum(axis=1)
    slots, alike = int(run.max()), problem.slots == problem.experts and len(set(run.tolist())) == 1
    if not alike and (u.min() < 0 or v.min() < 0):
        raise BadInput("needs duals that are not negative for unequal ranks", key="certificate")
    matched = flow if proof.part is None else proof.part[pair].astype(np.float64)
    alpha, beta = np.zeros_like(proof.duals[pair])
    if proof.part is not None:
        if proof.load_duals is None or proof.load_duals.min() < 0:
            raise BadInput("needs load duals that are not negative", key="certificate")
        alpha, beta = proof.load_duals[pair]
    into, out_of = flow.sum(axis=0), flow.sum(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        most = slots * float(u.sum() + v.sum()) + float((matched - u[:, None] - v).clip(0).sum())
        if alpha.any() or beta.any():
            most += _loads_most(problem, pair, len(run), alpha, beta)
        if proof.part is not None:
            rest = flow - matched - np.outer(alpha, into) - np.outer(out_of, beta)
            most += _spectrum_most(rest, slots, len(run), alike)
        # Numbers that are huge and cancel prove nothing: what doubles may have lost is added.
        sizes = len(flow) * float(np.abs(proof.duals[pair]).sum()) + float(np.abs(matched).sum())
        norms = _norm(flow) + _norm(matched) + _norm(alpha) * _norm(into)
        norms += _norm(out_of) * _norm(beta)
        most += 8 * EPSILON * len(flow) * (sizes + len(flow) * norms)
    if not math.isfinite(most):
        raise BadInput("holds numbers too large to add up", key="certificate")
    return most


def _norm(numbers: Floats) -> float:
    return float(np.sqrt((numbers**2).sum()))


def _loads_most(problem: Problem, pair: int, runs: int, alpha: Floats, beta: Floats) -> float:
    """What runs that keep the cap can offer to the rows and columns of one pair."""
    assert problem.transitions is not None
    flow, loads = problem.transitions[pair], problem.loads[pair : pair + 2]
    binds = np.allclose([flow.sum(axis=1), flow.sum(axis=0)], loads, rtol=SLACK)
    if not binds or not np.isfinite(problem.caps).all():
        raise BadInput("uses a cap that does not bind these transitions", key="certificate")
    mean, (here, after) = float(flow.sum()) / runs, problem.caps[pair : pair + 2]
    return mean * float(after * alpha.sum() + here * beta.sum())


def _spectrum_most(rest: Floats, slots: int, runs: int, alike: bool) -> float:
    """What a sharing of `runs` runs can keep of `rest`, by its singular values."""
    if not np.isfinite(rest).all():
        raise BadInput("holds numbers too large to add up", key="certificate")
    if alike:
        mean_row, mean_column = rest.mean(axis=1, keepdims=True), rest.mean(axis=0, keepdims=True)
        inner = np.linalg.svd(rest - mean_row - mean_column + rest.mean(), compute_uv=False)
        return slots * float(inner[: runs - 1].sum() + rest.sum() / len(rest))
    left, most = float(len(rest)), 0.0
    for value in np.linalg.svd(rest, compute_uv=False).tolist():
        most += value * min(left, slots)
        left -= min(left, slots)
    return most


def _cheapest(problem: Problem) -> float:
    """The cheapest chain of placements, one a layer, by trying all pairs of neighbours."""
    assert problem.transitions is not None
    if problem.has_copies:
        raise BadInput("tries placements without copies for a map that has some", key="certificate")
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
    """Ways to fill the ranks of one layer; without copies."""
    left, ways = problem.experts, 1
    for slots in problem.slots_per_rank.tolist():
        ways *= math.comb(max(left, 0), slots)
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
