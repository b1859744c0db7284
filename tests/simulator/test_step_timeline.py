"""Operators in time: lanes, dependencies, collectives, and what lies between bound and overlap."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.hardware import load as hardware
from moesaic.roofline import Efficiency, bound, operators
from moesaic.simulator import LANES, simulate
from moesaic.workload import Parallel, load, make_step

PLACES = st.sampled_from(
    [
        ("mixtral-8x7b", "dgx-h100", Parallel(tp=8)),
        ("deepseek-v2-lite", "two-node-h100", Parallel(tp=2, dp=8, ep=16)),
        ("jamba-v0.1", "dgx-h100", Parallel(tp=2, dp=2, ep=4, pp=2)),
        ("gpt-oss-20b", "attacc-4", Parallel(dp=4, ep=4)),
        ("switch-base-8", "dgx-h100", Parallel(tp=2, dp=2, ep=4)),
        ("qwen1.5-moe-a2.7b", "dgx-h100", Parallel(dp=7, ep=7)),
    ]
)
LOADS = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 100),
        "context": st.integers(0, 3000),
        "prefill": st.sampled_from([0, 64, 777]),
    }
)
FEW = settings(max_examples=12, deadline=None)


def run(place, asked):
    model, system, parallel = load.model(place[0]), hardware.system(place[1]), place[2]
    table = operators(model, make_step(model, **asked), system, parallel)
    return table, bound(table, system), simulate(table, system)


@FEW
@given(PLACES, LOADS)
def test_intervals_of_a_lane_never_overlap(place, asked):
    _, _, timeline = run(place, asked)
    for device in range(timeline.devices):
        for lane in range(len(LANES)):
            mine = (timeline.device == device) & (timeline.lane == lane)
            order = np.argsort(timeline.start_s[mine], kind="stable")
            ends, starts = timeline.end_s[mine][order], timeline.start_s[mine][order]
            assert (starts[1:] >= ends[:-1] - 1e-15).all()


@FEW
@given(PLACES, LOADS)
def test_the_makespan_lies_between_the_busiest_lane_and_one_after_another(place, asked):
    _, estimate, timeline = run(place, asked)
    assert timeline.seconds <= estimate.seconds * (1 + 1e-12)
    assert timeline.busy().max() <= 1 + 1e-12
    assert timeline.busy().shape == (timeline.devices, len(LANES))
    assert timeline.tokens_per_s == timeline.tokens / timeline.seconds


def placed(table, timeline):
    """Start and end of each operator on each device, nan where it does no work."""
    rows: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    for i in range(timeline.name.size):
        key = timeline.names[timeline.name[i]], int(timeline.layer[i]), int(timeline.device[i])
        rows.setdefault(key, []).append((timeline.start_s[i], timeline.end_s[i]))
    start = np.full((len(table.operators), table.devices), np.nan)
    end = np.full_like(start, np.nan)
    for i, operator in enumerate(table.operators):
        for device in range(table.devices):
            left = rows.get((operator.name, operator.layer, device))
            if left and table_works(table, i, device):
                start[i, device], end[i, device] = left.pop(0)
    return start, end


def table_works(table, i, device) -> bool:
    columns = table.flops, table.weight_bytes, table.activation_bytes, table.kv_bytes
    return bool(table.link_bytes[i, device].any() or any(c[i, device] for c in columns))


@FEW
@given(PLACES, LOADS)
def test_an_operator_starts_when_those_it_needs_are_done(place, asked):
    table, _, timeline = run(place, asked)
    start, end = placed(table, timeline)
    for i, operator in enumerate(table.operators):
        for before in operator.after:
            both = ~np.isnan(start[i]) & ~np.isnan(end[before])
            assert (start[i][both] >= end[before][both] - 1e-15).all()


@FEW
@given(PLACES, LOADS)
def test_devices_of_a_collective_start_together(place, asked):
    table, _, timeline = run(place, asked)
    start, _ = placed(table, timeline)
    for i, operator in enumerate(table.operators):
        if operator.group:
            for members in table.members(operator.group):
                begun = start[i, members][~np.isnan(start[i, members])]
                assert np.unique(begun).size <= 1


def test_every_second_of_work_is_on_the_timeline():
    table, estimate, timeline = run(
        ("deepseek-v2-lite", "two-node-h100", Parallel(tp=2, dp=8, ep=16)),
        {"batch": 64, "context": 500},
    )
    spent = (timeline.end_s - timeline.start_s).sum()
    assert spent == pytest.approx(estimate.operator_s.sum())
    assert timeline.tokens == table.tokens == 64


def test_shared_experts_hide_behind_the_dispatch():
    model, system = load.model("deepseek-v3"), hardware.system("eight-node-h100")
    parallel = Parallel(dp=64, ep=64)
    table = operators(model, make_step(model, batch=8192, context=100), system, parallel)
    timeline = simulate(table, system)
    assert timeline.seconds < 0.99 * bound(table, system).seconds


def test_without_links_the_timeline_is_the_bound():
    model, system = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
    table = operators(model, make_step(model, batch=4, context=10), system)
    assert simulate(table, system).seconds == pytest.approx(bound(table, system).seconds)


def test_shares_of_peaks_stretch_the_timeline():
    model, system = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
    table = operators(model, make_step(model, batch=4, context=10), system)
    half = Efficiency(weights=0.5, kv=0.5, activations=0.5, tensor=0.5)
    stretched = simulate(table, system, half)
    assert stretched.seconds == pytest.approx(2 * simulate(table, system).seconds)
    assert stretched.evidence == "simulated"


def test_the_trace_events_parse_and_hold_every_interval(tmp_path):
    _, _, timeline = run(("mixtral-8x7b", "dgx-h100", Parallel(tp=2)), {"batch": 4, "context": 9})
    timeline.save(tmp_path / "step.json")
    data = json.loads((tmp_path / "step.json").read_text())
    spans = [event for event in data["traceEvents"] if event["ph"] == "X"]
    labels = [event for event in data["traceEvents"] if event["ph"] == "M"]
    assert len(spans) == timeline.name.size
    assert len(labels) == 2 * (1 + len(LANES))
    assert {event["pid"] for event in spans} == {0, 1}
    last = max(event["ts"] + event["dur"] for event in spans)
    assert last == pytest.approx(timeline.seconds * 1e6, abs=1e-5)
    assert data["evidence"] == "simulated"
