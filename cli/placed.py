"""What `moesaic place` shows of a placement: prices learnt and unseen, gaps, seconds, proofs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import BadInput
from . import show
from .placing import split

if TYPE_CHECKING:
    from ..placement import Placement, Problem
    from ..sweeps.placements import Served

NOTE = (
    "Learnt from the tokens named above, unseen: the other requests. gap: how far the worst layer, "
    "and all hops, lie above what no placement can beat. captured: share of what the bound leaves "
    "to gain over chance. Without --model these are counts."
)


def seconds_of(placement: Placement, timed: Served, tokens: Any) -> dict[str, Any]:
    """Seconds of steps drawn from `tokens` under the map, each with its name."""
    from ..placement.seconds import sampled_steps, step_seconds
    from ..workload import RoutingTrace

    if not isinstance(tokens, RoutingTrace):
        raise BadInput("counts hold no tokens to time steps of", key="--model")
    steps = sampled_steps(timed.model, tokens, timed.batch, timed.context, timed.steps, 0)
    found = step_seconds(
        placement.expert_map, timed.model, steps, timed.system, detail=timed.detail
    )
    return found.summary()


def finish(
    problem: Problem,
    placement: Placement,
    fresh: Problem | None,
    seconds: float,
    as_json: bool,
    timed: dict[str, Any],
) -> None:
    """What was found, on the tokens learnt from and on the others."""
    from ..placement import score

    unseen = {} if fresh is None else score(placement.expert_map, fresh)
    if placement.interrupted:
        show.say("interrupted: this is the best so far, with its gap")
    for note in placement.notes:
        show.say(note)
    if as_json:
        show.json(
            {
                **sizes(problem),
                **placement.summary(),
                "interrupted": placement.interrupted,
                "notes": placement.notes,
                "unseen": unseen,
                "solve_s": seconds,
                "step": timed,
            }
        )
        return
    facts = {**placement.summary(), "solved in s": seconds}
    rows = [(name, text(value), text(unseen.get(name, ""))) for name, value in facts.items()]
    rows += [(f"timed {name}", "", _seconds(value)) for name, value in timed.items()]
    show.table(title(problem), ("what", "learnt", "unseen"), rows, NOTE)


def told_by(file: Path, format: str | None, ranks: int | None) -> dict[str, Any]:
    """What a file and its sidecar tell without a trace."""
    from ..placement import formats

    expert_map, placement = formats.read(file, format, ranks=ranks)
    facts: dict[str, Any] = {
        "moe_layers": len(expert_map.layers),
        "experts": expert_map.experts,
        "slots": expert_map.slots.shape[1],
        "ranks": expert_map.devices,
    }
    if placement is None:
        return {**facts, "certificate": "none: no sidecar; give --trace to score the map"}
    return {
        **facts,
        **placement.summary(),
        "certificate": "not checked: the words of the sidecar; give --trace",
    }


def held_against(
    file: Path, format: str | None, ranks: int | None, routing: Any, touched: int | None
) -> dict[str, Any]:
    """Scores of the map on the trace, and its certificate re-derived where it speaks of it."""
    from ..placement import Problem, formats, score

    expert_map, placement = formats.read(
        file, format, layers=routing.layers, experts=routing.experts, ranks=ranks
    )
    taught, fresh = (routing, None)
    if placement is not None and placement.learnt == "half":
        taught, fresh = split(routing, "half")
    each = expert_map.slots.shape[1] // expert_map.devices

    def pose(part: Any) -> Problem:
        return Problem.of(part, expert_map.devices, slots_per_rank=each, batch=touched)

    problem = pose(taught)
    facts = {**sizes(problem), "slots": problem.slots, **score(expert_map, problem)}
    if fresh is not None:
        unseen = score(expert_map, pose(fresh))
        facts |= {f"unseen {name}": value for name, value in unseen.items()}
    return facts | _certificate(problem, placement)


def _certificate(problem: Problem, placement: Placement | None) -> dict[str, Any]:
    import msgspec
    import numpy as np

    from ..placement import verify

    if placement is None:
        return {"certificate": "none: no sidecar that speaks of these layers"}
    if placement.certificate.problem != problem.fingerprint():
        why = "made from another trace, or of other work (--touched)"
        return {"certificate": f"{why}; the scores here are for this one"}
    if (terms := placement.hop_certificate) is not None:
        problem = msgspec.structs.replace(
            problem,
            ranks_per_node=terms.node_ranks,
            node_cost=terms.node_cost,
            cap=None if terms.caps is None else np.array(terms.caps),
        )
    seen = verify(problem, placement)
    trusted = [f"the loads of {len(seen.on_trust)} layers"] if seen.on_trust else []
    trusted += ["the hops"] if seen.hops is False else []
    facts: dict[str, Any] = {
        "certificate": "holds"
        if not trusted
        else f"not proven here: the bounds on {' and '.join(trusted)} rest on a search",
        "gap": max(placement.gap, 0.0),
        "layers_checked": len(seen.checked),
        "layers_on_the_solvers_word": list(seen.on_trust),
    }
    if placement.hops is not None:
        facts["hop_bound_for"] = _terms(problem)
        facts["hop_gap"] = max(placement.hops.gap, 0.0)
        facts["hop_bound_checked"] = seen.hops
    return facts


def _terms(problem: Problem) -> str:
    """What a bound on hops speaks of: which maps, at what price."""
    caps = "any load" if problem.cap is None else f"loads up to {problem.caps.max():g} of the mean"
    if problem.nodes == 1 or problem.node_cost == 1:
        return f"{caps}; every hop costs 1"
    return f"{caps}; a hop costs 1, out of {problem.node_ranks} ranks {problem.node_cost:g}"


def sizes(problem: Problem) -> dict[str, Any]:
    return {
        "moe_layers": len(problem.layers),
        "experts": problem.experts,
        "ranks": problem.ranks,
        "assignments": float(problem.loads.sum()),
    }


def title(problem: Problem) -> str:
    return (
        f"{len(problem.layers)} MoE layers of {problem.experts} experts on {problem.ranks} ranks, "
        f"learnt from {problem.loads.sum():,.0f} assignments"
    )


def _seconds(value: object) -> str:
    return f"{value:.3e}" if isinstance(value, float) else str(value)


def text(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and not value.is_integer() else str(value)
