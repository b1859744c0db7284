"""Methods held against each other: learnt on one half of the requests, scored on the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import System
from ...placement import METHODS, HopCertificate, Placement, Problem, score, solve
from ...placement.bounds import bound_hops
from ...placement.objective import shares
from ...placement.seconds import StepSeconds, sampled_steps, step_seconds
from ...workload import ExpertMap, MoEModel, RoutingCounts, RoutingTrace, Step
from ...workload.synthetic import shuffled

BASELINE = "contiguous"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose steps are timed on the machine: decode batches of unseen tokens."""

    model: MoEModel
    system: System
    batch: int
    context: int
    steps: int = 4
    detail: str = "bound"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One method: its placement of the learning half, its prices on the other, its solving time.

    step: seconds of unseen steps, where a model was given.
    """

    method: str
    placement: Placement
    unseen: dict[str, float]
    solve_s: float
    step: StepSeconds | None = None


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """All methods on one trace.

    left_out: method -> why it does not apply. null_hops: of the chosen method when it learns from
    the shuffled trace, on its unseen half: what is gained there is no affinity.
    """

    learn: Problem
    fresh: Problem
    trials: tuple[Trial, ...]
    left_out: dict[str, str]
    null_hops: float | None
    learnt_tokens: int
    fresh_tokens: int

    @property
    def chosen(self) -> Trial:
        """The trial with the shortest unseen step; without a model, with the fewest unseen hops
        among those within a twentieth of the best unseen balance."""
        timed = [trial for trial in self.trials if trial.step is not None]
        if timed:
            return min(timed, key=lambda trial: trial.step.step_s if trial.step else 0.0)
        best = min(trial.unseen["imbalance_mean"] for trial in self.trials)
        even = [t for t in self.trials if t.unseen["imbalance_mean"] <= best * 1.05]
        return min(even, key=lambda trial: trial.unseen.get("hops", trial.unseen["imbalance_mean"]))

    def of(self, method: str) -> Trial | None:
        return next((trial for trial in self.trials if trial.method == method), None)


def windows(counts: RoutingCounts) -> tuple[RoutingCounts, RoutingCounts]:
    """Every other window of counts; raises BadInput for a single one."""
    if len(counts.loads) < 2:
        raise BadInput("holds one window of counts; it takes two to learn on one and score another")

    def part(first: int) -> RoutingCounts:
        return RoutingCounts(
            loads=counts.loads[first::2],
            layers=counts.layers,
            tokens=None if counts.tokens is None else counts.tokens[first::2],
            names=counts.names[first::2],
            source=counts.source,
        )

    return part(0), part(1)


def halves(trace: RoutingTrace) -> tuple[RoutingTrace, RoutingTrace]:
    """Two halves of a trace by request, every other one; of a single request, early and late."""
    if trace.tokens < 2:
        raise BadInput("holds one token; it takes two to learn on one and score the other")
    late = np.arange(trace.tokens) >= trace.tokens // 2
    if trace.request_id is not None:
        requests, order = np.unique(trace.request_id, return_inverse=True)
        late = order % 2 == 1 if requests.size > 1 else late
    return trace.select(~late), trace.select(late)


def run_trials(
    trace: RoutingTrace,
    pose: Callable[[RoutingTrace], Problem],
    methods: Sequence[str] = (),
    *,
    served: Served | None = None,
    time_limit_s: float = 10.0,
    bound_s: float = 0.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Trials:
    """Every method on the same halves. pose: a half -> the problem it poses.

    Without `methods` all are tried, and one that does not apply is left out with its reason; one
    that was named and does not apply raises. Baselines are solved without the cap, which they do
    not know.
    """
    learn_trace, fresh_trace = halves(trace)
    learn, fresh = pose(learn_trace), pose(fresh_trace)
    steps = [] if served is None else _steps(served, fresh_trace, seed)
    bounds = _bounds(learn, bound_s)

    def trial(method: str) -> Trial:
        say(f"{method} ...")
        start = time.perf_counter()
        asked = _asked(learn, method)
        known = bounds.get(asked.hop_fingerprint())
        placement = solve(asked, method, time_limit_s, seed, known=known)
        return Trial(
            method=method,
            placement=placement,
            unseen=score(placement.expert_map, fresh),
            solve_s=time.perf_counter() - start,
            step=None if served is None else _timed(placement, served, steps),
        )

    trials, left_out = _all(trial, methods)
    if not trials:
        raise BadInput("none of the methods applies to this problem", key="methods")
    found = Trials(
        learn=learn,
        fresh=fresh,
        trials=tuple(trials),
        left_out=left_out,
        null_hops=None,
        learnt_tokens=learn_trace.tokens,
        fresh_tokens=fresh_trace.tokens,
    )
    if learn.transitions is None or len(trace.layers) < 2:
        return found
    say(f"{found.chosen.method} on the shuffled trace ...")
    null = _null_hops(trace, pose, found.chosen.method, time_limit_s, seed)
    return msgspec.structs.replace(found, null_hops=null)


def _all(
    trial: Callable[[str], Trial], methods: Sequence[str]
) -> tuple[list[Trial], dict[str, str]]:
    """The trials, and why a method does not apply where none was named."""
    trials, left_out = [], {}
    for method in methods or METHODS:
        try:
            trials.append(trial(method))
        except BadInput as fault:
            if methods:
                raise
            left_out[method] = str(fault)
    return trials, left_out


def _timed(placement: Placement, served: Served, steps: Sequence[Step]) -> StepSeconds:
    return step_seconds(
        placement.expert_map, served.model, steps, served.system, detail=served.detail
    )


def _bounds(learn: Problem, bound_s: float) -> dict[str, HopCertificate]:
    """The bounds on hops with and without the cap, found once for all methods."""
    if learn.transitions is None or not learn.transitions.any():
        return {}
    asked = [learn] if learn.cap is None else [learn, msgspec.structs.replace(learn, cap=None)]
    return {one.hop_fingerprint(): bound_hops(one, bound_s / len(asked)) for one in asked}


CAPPED = ("joint", "groups", "exact", "rebalance")
"""Methods that keep a cap; the others are solved as if there was none."""


def _asked(problem: Problem, method: str) -> Problem:
    return problem if method in CAPPED else msgspec.structs.replace(problem, cap=None)


def _steps(served: Served, trace: RoutingTrace, seed: int) -> list[Step]:
    return sampled_steps(served.model, trace, served.batch, served.context, served.steps, seed)


def _null_hops(
    trace: RoutingTrace,
    pose: Callable[[RoutingTrace], Problem],
    method: str,
    time_limit_s: float,
    seed: int,
) -> float:
    learn, fresh = (pose(half) for half in halves(shuffled(trace, seed)))
    placed = solve(_asked(learn, method), method, time_limit_s, seed)
    return score(placed.expert_map, fresh)["hops"]


def traffic(expert_map: ExpertMap, problem: Problem) -> NDArray[np.float64]:
    """Assignments from rank to rank between neighbouring layers, over all: `[ranks, ranks]`."""
    assert problem.transitions is not None
    served = [shares(expert_map, row) for row in range(len(problem.layers))]
    out = np.zeros((problem.ranks, problem.ranks))
    for here, flow, after in zip(served, problem.transitions, served[1:], strict=False):
        out += here.T @ flow @ after
    return out
