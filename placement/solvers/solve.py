"""solve: a method by its name, its answer checked, scored and bounded."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, unknown
from ...workload import ExpertMap
from ..bounds import best_load_proof, bound_hops, chance_cost, hop_cost
from ..objective import moved, score
from ..placement import ROUNDING, Certificate, HopCertificate, Hops, Placement, Proof
from ..problem import Problem
from .chain import two_stage
from .eplb import eplb, eplb_global
from .exact import exact
from .exact_small import exact_small
from .exflow import exflow
from .found import Found, Method
from .joint import groups, joint
from .moetuner import moetuner
from .rebalance import rebalance
from .replicas import replicas, replicas_by_node, replicas_near_node
from .simple import contiguous, lpt, lpt_swaps, round_robin

METHODS: dict[str, Method] = {
    "contiguous": contiguous,
    "round-robin": round_robin,
    "lpt": lpt,
    "lpt-swaps": lpt_swaps,
    "exact-small": exact_small,
    "exact": exact,
    "groups": groups,
    "joint": joint,
    "eplb": eplb,
    "eplb-global": eplb_global,
    "replicas": replicas,
    "replicas-by-node": replicas_by_node,
    "replicas-near-node": replicas_near_node,
    "rebalance": rebalance,
    "two-stage": two_stage,
    "moetuner": moetuner,
    "exflow": exflow,
}


def solve(
    problem: Problem,
    method: str | Method = "lpt-swaps",
    time_limit_s: float = 10.0,
    seed: int = 0,
    *,
    bound_s: float = 0.0,
    known: HopCertificate | None = None,
) -> Placement:
    """The placement that `method` (a name in METHODS, or a callable) finds, with its bounds.

    bound_s: seconds to spend on a tighter bound on hops than the quick one; known: a bound found
    before on the same problem, taken instead. Raises BadInput for an
    unknown name, a map that does not answer the problem, and a cap or a number of moves that cannot
    be kept or was not.
    """
    if not 0 < time_limit_s < float("inf"):
        raise BadInput("must be a positive number of seconds", key="time_limit_s")
    if not 0 <= bound_s < float("inf"):
        raise BadInput("must be a number of seconds, 0 or more", key="bound_s", value=bound_s)
    if seed < 0:
        raise BadInput("must not be negative", key="seed", value=seed)
    call, name = _method(method)
    given = call(problem, time_limit_s, seed)
    found = given if isinstance(given, Found) else Found(given)
    _check_answers(problem, found.expert_map, name)
    proofs = _best_proofs(problem, found.proofs)
    hops, hop_certificate = _hops(problem, found, bound_s, known)
    placement = Placement(
        expert_map=found.expert_map,
        method=name,
        scores=score(found.expert_map, problem),
        rank_max=found.expert_map.rank_loads(problem.loads).max(axis=1),
        bound=np.array([proof.bound for proof in proofs]),
        certificate=Certificate(problem=problem.fingerprint(), proofs=proofs),
        hops=hops,
        hop_certificate=hop_certificate,
        interrupted=found.interrupted,
        notes=found.notes,
    )
    _check_cap(problem, placement)
    _check_moves(problem, placement)
    return placement


def relaxed_caps(problem: Problem, cap: float) -> NDArray[np.float64]:
    """`cap`, or in each layer what balancing alone reaches where that is more: `[moe_layers]`.

    In some layers the hottest experts alone lie above any sensible cap.
    """
    reached = solve(
        msgspec.structs.replace(problem, cap=None, transitions=None, routing=None),
        "replicas" if problem.has_copies else "lpt-swaps",
    )
    return np.maximum(cap, reached.rank_max / problem.mean_loads * (1 + ROUNDING))


def _method(method: str | Method) -> tuple[Method, str]:
    if not isinstance(method, str):
        return method, getattr(method, "__name__", type(method).__name__)
    if method not in METHODS:
        raise unknown("placement method", method, METHODS)
    return METHODS[method], method


def _check_answers(problem: Problem, found: ExpertMap, name: str) -> None:
    slots = np.bincount(found.ranks, minlength=problem.ranks)
    if (
        found.layers != problem.layers
        or found.experts != problem.experts
        or slots.shape != problem.slots_per_rank.shape
        or (slots != problem.slots_per_rank).any()
    ):
        raise BadInput(
            f"the method {name} gave a map of {len(found.layers)} layers, {found.experts} experts "
            f"and slots {slots.tolist()}; the problem asks for {len(problem.layers)}, "
            f"{problem.experts} and {problem.slots_per_rank.tolist()}"
        )


def _best_proofs(problem: Problem, searched: tuple[Proof, ...]) -> tuple[Proof, ...]:
    """The strongest proof of each layer; one that anybody can check wins a tie."""
    best = {
        layer: best_load_proof(loads, problem.slots_per_rank, layer)
        for layer, loads in zip(problem.layers, problem.loads, strict=True)
    }
    for proof in searched:
        if proof.bound > best[proof.layer].bound * (1 + ROUNDING):
            best[proof.layer] = proof
    return tuple(best[layer] for layer in problem.layers)


def _hops(
    problem: Problem, found: Found, bound_s: float, known: HopCertificate | None
) -> tuple[Hops | None, HopCertificate | None]:
    if problem.transitions is None or not problem.transitions.any():
        return None, None
    same = known is not None and known.problem == problem.hop_fingerprint()
    certificate = known if same and known is not None else bound_hops(problem, bound_s)
    proven = found.hop_certificate
    if proven is not None and proven.bound >= certificate.bound:
        certificate = proven
    total = float(problem.transitions.sum())
    hops = Hops(
        reached=hop_cost(found.expert_map, problem) / total,
        bound=certificate.bound / total,
        by_chance=chance_cost(found.expert_map, problem) / total,
    )
    return hops, certificate


def _check_cap(problem: Problem, placement: Placement) -> None:
    allowed = problem.caps * problem.mean_loads * (1 + ROUNDING)
    least = placement.bound / problem.mean_loads
    if (placement.bound > allowed).any():
        worst = int((least / problem.caps).argmax())
        raise BadInput(
            f"no placement keeps layer {problem.layers[worst]} within {problem.caps[worst]:g} of "
            f"the mean: at least {least[worst]:.4f} is needed there",
            key="cap",
        )
    if (placement.rank_max > allowed).any():
        ratio = placement.rank_max / problem.mean_loads
        worst = int((ratio / problem.caps).argmax())
        raise BadInput(
            f"{placement.method} reached {ratio[worst]:.4f} of the mean on layer "
            f"{problem.layers[worst]}, above the cap of {problem.caps[worst]:g} (the bound there "
            f"is {least[worst]:.4f}): raise the cap, give more time, or try another method",
            key="cap",
        )


def _check_moves(problem: Problem, placement: Placement) -> None:
    if problem.current is None or problem.most_moves is None:
        return
    moves = int(moved(placement.expert_map, problem.current).sum())
    if moves > problem.most_moves:
        raise BadInput(
            f"{placement.method} moves {moves} experts where {problem.most_moves} are allowed: use "
            "the method rebalance, or allow more",
            key="most_moves",
        )
