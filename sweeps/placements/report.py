"""Trials -> the sections of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from ...base import BadInput
from ...placement import Problem, relaxed_caps, score, solve
from ...placement.curves import Point, balance_against_moves, balance_against_slots
from ...workload import RoutingTrace
from ..report.section import Section, Table
from .drift import drift
from .trials import BASELINE, Trial, Trials, traffic

CAPS = (1.02, 1.05, 1.1, 1.2, 1.4)
"""Of the Pareto front of balance against hops."""


def report(
    trace: RoutingTrace,
    pose: Callable[[RoutingTrace], Problem],
    trials: Trials,
    *,
    time_limit_s: float,
    seed: int,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Section]:
    """Methods, traffic, balance against hops, drift, and what slots and moves are worth."""
    yield methods(trials)
    if trials.learn.transitions is not None:
        yield traffic_section(trials)
        say("balance against hops ...")
        yield front(trials, min(time_limit_s, 5.0), seed)
    if trace.domain is not None:
        say("drift between domains ...")
        try:
            yield drift_section(trace, pose, trials, min(time_limit_s, 2.0), seed)
        except BadInput as fault:
            say(f"no drift: {fault}")
    say("slots and moves ...")
    yield curves(trials)


def methods(trials: Trials) -> Section:
    """Every method's prices on unseen requests."""
    from ..plots.placement import prices_by_method

    done, chosen = trials.trials, trials.chosen
    names = [trial.method for trial in done]
    prices = {"busiest rank / mean": [t.unseen["imbalance_mean"] for t in done]}
    lines: dict[str, dict[str, float]] = {"busiest rank / mean": {"even": 1.0}}
    if all("hops" in trial.unseen for trial in done):
        prices["hops"] = [t.unseen["hops"] for t in done]
        lines["hops"] = {"bound (learnt)": _best_bound(trials)}
        if trials.null_hops is not None:
            lines["hops"]["shuffled trace"] = trials.null_hops
    visited = "node_fan_out" if "node_fan_out" in done[0].unseen else "fan_out"
    if visited in done[0].unseen:
        label = "nodes a token visits" if visited == "node_fan_out" else "ranks a token visits"
        prices[label] = [t.unseen[visited] for t in done]
    if all(trial.step is not None for trial in done):
        prices["step, ms"] = [t.step.step_s * 1e3 for t in done if t.step]
    return Section(
        name="methods",
        title="Methods on unseen requests",
        words=(_words(trials),),
        evidence=("simulated", "bound"),
        tables=(methods_table(trials),),
        figure=prices_by_method(names, prices, lines, chosen.method, "Unseen requests"),
        data=[summary(trial) for trial in done],
    )


def _best_bound(trials: Trials) -> float:
    """The one that speaks for all of them: without the cap, where some were solved without it."""
    return min(t.placement.hops.bound for t in trials.trials if t.placement.hops is not None)


def _words(trials: Trials) -> str:
    chosen = trials.chosen
    words = (
        f"Each method learns on one half of the requests ({trials.learnt_tokens} tokens) and is "
        f"scored on the other ({trials.fresh_tokens}). Chosen: {chosen.method}."
    )
    first = trials.of(BASELINE)
    if first is not None and first is not chosen:
        words += f" Against {BASELINE}: {_change(first, chosen, 'imbalance_mean', 'imbalance')}"
        if "hops" in chosen.unseen:
            words += f", {_change(first, chosen, 'hops', 'hops')}"
        if first.step is not None and chosen.step is not None:
            faster = first.step.step_s / chosen.step.step_s - 1
            words += f", steps {faster:+.1%} faster ({chosen.step.evidence})"
        words += "."
    if trials.null_hops is not None and "hops" in chosen.unseen:
        words += (
            f" On the shuffled trace, which has the same loads and no affinity, the same method "
            f"reaches {trials.null_hops:.4f} hops on unseen tokens: the gain over that is affinity."
        )
    for method, reason in trials.left_out.items():
        words += f" Left out: {method} ({reason})."
    return words


def _change(before: Trial, after: Trial, price: str, name: str) -> str:
    return f"{name} {before.unseen[price]:.4f} to {after.unseen[price]:.4f}"


def methods_table(trials: Trials) -> Table:
    """Learnt and unseen prices, gaps and times of every method."""
    timed = any(trial.step is not None for trial in trials.trials)
    hops = any(trial.placement.hops is not None for trial in trials.trials)
    nodes = any("node_fan_out" in trial.unseen for trial in trials.trials)
    columns = ["method", "max/mean learnt", "unseen", "worst layer"]
    columns += ["hops learnt", "bound", "gap", "captured", "hops unseen"] if hops else []
    columns += ["ranks visited"] + (["nodes visited"] if nodes else [])
    columns += ["step ms", "slowest link ms"] if timed else []
    rows = []
    for trial in trials.trials:
        learnt, unseen, reached = trial.placement.scores, trial.unseen, trial.placement.hops
        row = [
            trial.method + (" (chosen)" if trial is trials.chosen else ""),
            f"{learnt['imbalance_mean']:.4f}",
            f"{unseen['imbalance_mean']:.4f}",
            f"{unseen['imbalance_worst']:.4f}",
        ]
        if hops:
            row += (
                ["-"] * 5
                if reached is None
                else [
                    f"{reached.reached:.4f}",
                    f"{reached.bound:.4f}",
                    f"{max(reached.gap, 0.0):.2%}",
                    f"{reached.captured:.1%}",
                    f"{unseen['hops']:.4f}",
                ]
            )
        row += [_number(unseen, "fan_out")] + ([_number(unseen, "node_fan_out")] if nodes else [])
        if timed:
            step = trial.step
            row += (
                ["-", "-"]
                if step is None
                else [f"{step.step_s * 1e3:.3f}", f"{step.link_s * 1e3:.3f}"]
            )
        rows.append((*row, f"{trial.solve_s:.2f}"))
    return Table(
        columns=(*columns, "solved in s"),
        rows=tuple(rows),
        note=(
            "max/mean: busiest over mean rank, mean layer. bound: what no map that keeps the cap "
            "can go below on the learning half; gap and captured speak of that half. Methods that "
            "know no cap are solved without one."
        ),
    )


def _number(unseen: dict[str, float], price: str) -> str:
    return f"{unseen[price]:.3f}" if price in unseen else "-"


def summary(trial: Trial) -> dict[str, object]:
    """Plain numbers of one trial."""
    return {
        **trial.placement.summary(),
        "unseen": trial.unseen,
        "solve_s": trial.solve_s,
        "step": None if trial.step is None else trial.step.summary(),
    }


def traffic_section(trials: Trials) -> Section:
    """Who sends to whom, before and after."""
    from ..plots.placement import traffic_before_and_after

    first = trials.of(BASELINE) or trials.trials[0]
    maps = [traffic(t.placement.expert_map, trials.fresh) for t in (first, trials.chosen)]
    return Section(
        name="traffic",
        title="Traffic between ranks, unseen requests",
        words=(
            "From the rank of an expert to the rank of the next layer's expert, all layers "
            "together; what lies on the diagonal stays.",
        ),
        evidence=("simulated",),
        figure=traffic_before_and_after(
            maps[0], maps[1], (first.method, trials.chosen.method), "Unseen requests"
        ),
        data={"before": maps[0], "after": maps[1]},
    )


def front(trials: Trials, time_limit_s: float, seed: int) -> Section:
    """Balance against hops: every method, and joint at several caps."""
    from ..plots.placement import balance_against_hops

    points = {
        t.method: (t.unseen["imbalance_mean"], t.unseen["hops"])
        for t in trials.trials
        if "hops" in t.unseen
    }
    line = []
    for cap in CAPS:
        try:
            asked = msgspec.structs.replace(trials.learn, cap=relaxed_caps(trials.learn, cap))
            placed = solve(asked, "joint", time_limit_s, seed)
        except BadInput:
            continue
        unseen = score(placed.expert_map, trials.fresh)
        line.append((unseen["imbalance_mean"], unseen["hops"], f"cap {cap:g}"))
    best = _best_bound(trials) if trials.trials[0].placement.hops is not None else None
    return Section(
        name="front",
        title="Balance against hops",
        words=("Joint under several caps, every point scored on unseen requests.",),
        evidence=("simulated", "bound"),
        tables=(
            Table(
                columns=("cap", "busiest / mean unseen", "hops unseen"),
                rows=tuple((label, f"{x:.4f}", f"{y:.4f}") for x, y, label in line),
            ),
        ),
        figure=balance_against_hops(points, line, best, "Pareto front: balance against hops"),
        data={"methods": points, "joint": line},
    )


def drift_section(
    trace: RoutingTrace,
    pose: Callable[[RoutingTrace], Problem],
    trials: Trials,
    time_limit_s: float,
    seed: int,
) -> Section:
    """The chosen method learnt on one domain and scored on the others."""
    from ..plots.placement import drift_map

    method = trials.chosen.method
    found = drift(trace, pose, method, time_limit_s=time_limit_s, seed=seed)
    prices = {
        {"imbalance_mean": "busiest rank / mean", "hops": "hops"}[name]: cells
        for name, cells in found.prices.items()
    }
    return Section(
        name="drift",
        title=f"Drift between domains, {method}",
        words=(
            "Learnt on one half of a domain's requests, scored on the other half of every domain.",
        ),
        evidence=("simulated",),
        figure=drift_map(found.domains, prices, f"{method} on unseen requests"),
        data={"domains": found.domains, **found.prices},
    )


def curves(trials: Trials) -> Section:
    """How many slots, and how many moved experts, balance is worth."""
    from ..plots.placement import balance_curves

    learn = trials.learn
    each = max(1, learn.experts // learn.ranks)
    slots = sorted({each + extra for extra in (0, 1, 2, 4, 8) if each + extra <= learn.experts})
    by_slots = balance_against_slots(learn, slots)
    panels = [("slots of a layer", *_columns(by_slots))]
    data: dict[str, object] = {"slots": by_slots}
    first = trials.of(BASELINE)
    if first is not None and not learn.has_copies:
        loaded = msgspec.structs.replace(learn, current=first.placement.expert_map, cap=None)
        most = len(learn.layers) * learn.experts
        budgets = sorted({most * share // 100 for share in (0, 2, 5, 10, 20, 40, 80)})
        by_moves = balance_against_moves(loaded, budgets)
        panels.append((f"experts moved, from {BASELINE}", *_columns(by_moves)))
        data["moves"] = by_moves
    return Section(
        name="curves",
        title="What slots and moves are worth",
        words=("On the learning half: copies cost memory, moves stall the engine.",),
        evidence=("simulated", "bound"),
        figure=balance_curves(panels, "Balance against what it costs"),
        data=msgspec.to_builtins(data),
    )


def _columns(points: list[Point]) -> tuple[list[float], list[float], list[float]]:
    return (
        [float(point.price) for point in points],
        [point.worst for point in points],
        [point.bound for point in points],
    )
