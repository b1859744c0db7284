"""What a map costs in seconds: steps of recorded tokens through the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ..base import BadInput, Evidence
from ..hardware import System
from ..simulator import estimate
from ..workload import ExpertMap, MoEModel, Parallel, RoutingTrace, Step
from ..workload.routed_step import step_from_trace

EXPERTS = ("experts.gate_up", "experts.down")
LINKS = ("dispatch.experts", "combine.experts")


class StepSeconds(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of steps under one map, means over the steps unless said otherwise.

    step_s: the whole step; tail_s: the slowest of the steps. device_s: routed experts, the slowest
    device of each layer. link_s: dispatch and combine, the slowest link of each layer; tail_link_s:
    its slowest step.
    """

    step_s: float
    tail_s: float
    device_s: float
    link_s: float
    tail_link_s: float
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
    whole, device, link = [], [], []
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
        slowest = found.operator_s.max(axis=1)
        whole.append(found.seconds)
        device.append(float(slowest[np.isin(names, EXPERTS)].sum()))
        link.append(float(slowest[np.isin(names, LINKS)].sum()))
        evidence = found.evidence
    return StepSeconds(
        step_s=float(np.mean(whole)),
        tail_s=float(np.max(whole)),
        device_s=float(np.mean(device)),
        link_s=float(np.mean(link)),
        tail_link_s=float(np.max(link)),
        evidence=evidence,
    )
