"""What a map costs in seconds: steps of recorded tokens through the simulator.

Two styles of exchange are priced. 'home': after every layer a token's results go back to the
replica that attends for it, as engines do (two all-to-alls a layer; fan-out counts). 'stay': a
token stays where its expert is and goes on from there (one all-to-all a layer; chain hops count),
which is what the objectives of ExFlow (arXiv 2401.08383) and MoETuner (arXiv 2502.06643) speak of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput, Evidence, number_format
from ..hardware import System
from ..roofline.collectives import all_gather
from ..simulator import estimate
from ..workload import ExpertMap, MoEModel, Parallel, RoutingTrace, Step
from ..workload.routed_step import step_from_trace
from .problem import flows
from .solvers.chain import cluster_flows

EXPERTS = ("experts.gate_up", "experts.down")
LINKS = ("dispatch.experts", "combine.experts")


class StepSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of steps under one map, means over the steps unless said otherwise.

    step_s: the whole step; tail_s: the slowest of the steps. device_s: routed experts, the slowest
    device of each layer. link_s: dispatch and combine, the slowest link of each layer; mean_link_s:
    the mean link; tail_link_s: link_s of its slowest step. stay_*: the same where tokens stay with
    their experts; None where the routing of single tokens is not known.
    """

    step_s: float
    tail_s: float
    device_s: float
    link_s: float
    mean_link_s: float
    tail_link_s: float
    stay_step_s: float | None = None
    stay_link_s: float | None = None
    stay_mean_link_s: float | None = None
    evidence: Evidence

    def summary(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


def split_for(ranks: int, system: System) -> Parallel:
    """The split in which `ranks` expert groups fill the machine: attention in data-parallel
    replicas, one for each group, and tensor parallelism inside (MoETuner's 4EP-2TP on 8 GPUs)."""
    devices = len(system.devices)
    if devices % ranks:
        raise BadInput(
            f"{ranks} ranks do not share the {devices} devices of {system.name} evenly", key="ranks"
        )
    return Parallel(tp=devices // ranks, dp=ranks, ep=ranks)


def sampled_steps(
    model: MoEModel,
    trace: RoutingTrace,
    batch: int,
    context: int,
    steps: int,
    seed: int,
) -> list[Step]:
    """Decode steps of `batch` tokens drawn from the trace, dealt to the replicas in turn."""
    if not 1 <= batch <= trace.tokens:
        raise BadInput(
            f"must lie between 1 and the {trace.tokens} tokens at hand", key="batch", value=batch
        )
    rng = np.random.default_rng(seed)
    chosen = [np.sort(rng.choice(trace.tokens, batch, replace=False)) for _ in range(steps)]
    return [step_from_trace(model, trace, tokens, context=context) for tokens in chosen]


def prompt_steps(
    model: MoEModel, trace: RoutingTrace, requests: int, steps: int, seed: int
) -> list[Step]:
    """Prefill steps of `requests` whole requests drawn from the trace."""
    request = np.zeros(0) if trace.request_id is None else trace.request_id
    known = np.unique(request)
    if not 1 <= requests <= known.size:
        raise BadInput(
            f"must lie between 1 and the {known.size} requests at hand",
            key="requests",
            value=requests,
        )
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(known, requests, replace=False) for _ in range(steps)]
    return [step_from_trace(model, trace, np.isin(request, one)) for one in chosen]


def step_seconds(
    expert_map: ExpertMap,
    model: MoEModel,
    steps: Sequence[Step],
    system: System,
    *,
    parallel: Parallel | None = None,
    detail: str = "bound",
) -> StepSeconds:
    """The steps' seconds on `system` with experts where `expert_map` puts them."""
    parallel = parallel or split_for(expert_map.devices, system)
    rows: list[dict[str, float]] = []
    evidence: Evidence = "bound"
    for step in steps:
        found = estimate(
            model,
            step,
            system,
            parallel=parallel,
            expert_map=expert_map,
            detail=detail,
            ignore_capacity=True,
        )
        names = np.array([operator.name for operator in found.table.operators])
        slowest, links = found.operator_s.max(axis=1), np.isin(names, LINKS)
        row = {
            "step_s": found.seconds,
            "device_s": float(slowest[np.isin(names, EXPERTS)].sum()),
            "link_s": float(slowest[links].sum()),
            "mean_link_s": float(found.operator_s[links].mean(axis=1).sum()),
        }
        if step.routing is not None:
            stay = stay_seconds(expert_map, step.routing, model, system)
            context = context_seconds(step.tokens, model, system)
            row["stay_link_s"] = float(stay.max(axis=1).sum()) + context
            row["stay_mean_link_s"] = float(stay.mean(axis=1).sum()) + context
            row["stay_step_s"] = row["step_s"] - row["link_s"] + row["stay_link_s"]
        rows.append(row)
        evidence = found.evidence
    return StepSeconds(
        **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        tail_s=max(row["step_s"] for row in rows),
        tail_link_s=max(row["link_s"] for row in rows),
        evidence=evidence,
    )


def stay_seconds(
    expert_map: ExpertMap, routing: NDArray[np.int16], model: MoEModel, system: System
) -> NDArray[np.float64]:
    """Seconds of each rank's links between neighbouring layers, where tokens stay with experts.

    routing: `[tokens, moe_layers, top_k]`; returns `[moe_layers - 1, ranks]`. derived: each of a
    token's k results goes on to the k experts of the next layer, dealt evenly, so that k rows a
    token move, or stay; the devices of a rank send a share each. As in `roofline.bound` an
    exchange takes the bytes of its busiest tier over that link plus one latency of the farthest.
    Where tokens start and end is not counted.
    """
    trace = RoutingTrace(
        expert_ids=routing, experts=expert_map.experts, layers=tuple(range(routing.shape[1]))
    )
    flow = flows(trace)
    if flow is None:
        raise BadInput(f"has too many pairs of its {expert_map.experts} experts", key="routing")
    rows = cluster_flows(expert_map, flow)
    ranks = expert_map.devices
    each = len(system.devices) // ranks
    size = model.hidden * number_format(model.formats.activations).bytes_per_element / each
    met = np.array(
        [
            [
                -1 if a == b else system.tiers.index(system.tier(a * each, b * each))
                for b in range(ranks)
            ]
            for a in range(ranks)
        ]
    )
    seconds, latency_s = np.zeros(rows.shape[:2]), 0.0
    for t, tier in enumerate(system.tiers):
        moved = rows * (met == t)
        busiest = np.maximum(moved.sum(axis=2), moved.sum(axis=1))
        seconds = np.maximum(seconds, busiest * size / tier.link.bandwidth_bytes_per_s)
        latency_s = max(latency_s, tier.link.latency_s if (met == t).any() else 0.0)
    return seconds + latency_s


def context_seconds(tokens: int, model: MoEModel, system: System) -> float:
    """The one gathering of a step's tokens on every device that lets them stay anywhere (ExFlow's
    all-gather of contexts): one hidden row a token, as an assumption."""
    size = tokens * model.hidden * number_format(model.formats.activations).bytes_per_element
    crossed = system.spans(range(len(system.devices)))
    moved = all_gather(size, [width for _, width in crossed])
    spent = [
        float(part) / tier.link.bandwidth_bytes_per_s
        for (tier, _), part in zip(crossed, moved, strict=True)
    ]
    return max(spent, default=0.0) + max((tier.link.latency_s for tier, _ in crossed), default=0.0)
