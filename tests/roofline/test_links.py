"""Bytes on links: collectives in tiers, and tokens on their way to experts, counted one by one."""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.roofline import operators
from moesaic.roofline.collectives import all_gather, all_reduce
from moesaic.roofline.links import group_link
from moesaic.workload import ExpertMap, Parallel, RoutingTrace, make_step, step_from_trace

HIDDEN_BYTES = 64 * 2


@pytest.mark.parametrize("n", [2, 3, 8])
def test_an_all_reduce_sends_twice_what_a_device_does_not_hold(n):
    assert all_reduce(1.0, [n]) == [pytest.approx(2 * (n - 1) / n)]
    assert all_gather(1.0, [n]) == [pytest.approx((n - 1) / n)]


def test_a_hierarchical_all_reduce_sends_a_node_share_over_the_outer_tier():
    inner, outer = all_reduce(1.0, [8, 4])
    assert inner == pytest.approx(2 * 7 / 8)
    assert outer == pytest.approx(2 * 3 / 4 / 8)


def test_all_tiers_together_carry_what_a_flat_collective_does():
    assert sum(all_reduce(1.0, [8, 4])) == pytest.approx(2 * 31 / 32)


def test_a_replica_that_straddles_nodes_pays_for_the_outer_tier(machine):
    link, _ = group_link(machine(4, 3), 0, 3, np.ones(12), "all-gather")
    assert link[:3, 1].tolist() == [0, 0, 0]  # ranks 0..2 share a node
    assert (link[3:6, 1] > 0).all()  # ranks 3..5 do not


def sent(table, name="dispatch.experts"):
    row = [operator.name for operator in table.operators].index(name)
    return table.link_bytes[row]


def trace_of(ids: np.ndarray, experts: int = 8) -> RoutingTrace:
    return RoutingTrace(expert_ids=ids.astype(np.int16), experts=experts, layers=(1,))


def brute(ids, homes, parallel, sizes):
    """Rows that cross each tier, counted one by one: `[devices, tiers]`, sent or received.

    A token of replica r leaves each of r's tp devices with a share of 1 / tp. In each tier it goes
    once to each unit (device, node, ...) beside the sender's that needs it and is not of r.
    """
    n, tp, etp = parallel.stage_devices, parallel.tp, parallel.expert_tp
    out, into = np.zeros((n, len(sizes))), np.zeros((n, len(sizes)))
    for token, chosen in enumerate(ids):
        replica = token % parallel.dp
        holders = range(replica * tp, replica * tp + tp)
        needs = {homes[e] * etp + j for e in chosen if e >= 0 for j in range(etp)}
        inner = 1
        for t, size in enumerate(sizes):
            outer = inner * size
            far = {d // inner for d in needs} - {d // inner for d in holders}
            for source in holders:
                for unit in far:
                    if unit * inner // outer == source // outer:
                        out[source, t] += 1 / tp
                        into[unit * inner : unit * inner + inner, t] += 1 / tp / inner
            inner = outer
    return np.maximum(out, into)


@pytest.mark.parametrize("sizes", [(4, 2), (8,), (2, 2, 2), (2, 1, 4)])
@pytest.mark.parametrize(
    "split",
    [
        {"dp": 8, "ep": 8},
        {"dp": 8, "ep": 4},
        {"tp": 2, "dp": 4, "ep": 8},
        {"tp": 4, "dp": 2, "ep": 4},
        {"tp": 2, "dp": 4, "ep": 2},
    ],
)
def test_dispatch_moves_a_token_once_to_each_distinct_place(split, sizes, machine, tiny):
    parallel, rng = Parallel(**split), np.random.default_rng(3)
    ids = np.array([rng.permutation(8)[:2] for _ in range(24)])
    step = step_from_trace(tiny(), trace_of(ids[:, None, :]), context=10)
    homes = rng.permutation(np.arange(8) % parallel.ep)
    slots = np.arange(8, dtype=np.int32)[None]
    placed = ExpertMap(slots=slots, ranks=homes.astype(np.int32), layers=(1,), experts=8)
    table = operators(tiny(), step, machine(*sizes), parallel, placed)
    wanted = brute(ids, homes, parallel, sizes) * HIDDEN_BYTES
    assert sent(table) == pytest.approx(wanted)
    assert sent(table, "combine.experts") == pytest.approx(wanted)


def test_a_token_without_an_expert_is_sent_nowhere(machine, tiny):
    ids = np.full((8, 1, 2), -1)
    ids[0, 0] = 0, 1
    step = step_from_trace(tiny(), trace_of(ids), context=10)
    table = operators(tiny(), step, machine(8), Parallel(dp=8, ep=8))
    assert sent(table).sum() == pytest.approx(HIDDEN_BYTES * 2)  # one sends, one receives


def test_expected_dispatch_is_the_mean_of_drawn_ones(machine, tiny):
    rng, parallel = np.random.default_rng(5), Parallel(dp=8, ep=8)
    ids = np.array([rng.permutation(8)[:2] for _ in range(16000)])
    drawn = step_from_trace(tiny(), trace_of(ids[:, None, :]), context=10)
    expected = make_step(tiny(), batch=16000, context=10)
    tables = [operators(tiny(), step, machine(4, 2), parallel) for step in (drawn, expected)]
    assert sent(tables[0]) == pytest.approx(sent(tables[1]), rel=0.05)


def test_a_trace_from_more_replicas_than_there_are_is_refused(machine, tiny):
    ids = np.zeros((4, 1, 2)) + np.array([0, 1])
    trace = RoutingTrace(
        expert_ids=ids.astype(np.int16),
        experts=8,
        layers=(1,),
        source_rank=np.array([0, 1, 2, 3]),
    )
    step = step_from_trace(tiny(), trace, context=10)
    with pytest.raises(BadInput, match=r"dp 2 has 0\.\.1"):
        operators(tiny(), step, machine(2), Parallel(dp=2, ep=2))
