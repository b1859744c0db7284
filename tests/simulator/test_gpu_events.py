"""Thread blocks in time: held by the closed form, by bounds, and by a slow simulation."""

import json
import math
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.hardware.load import device
from moesaic.simulator.gpu import ExpertCall, ExpertConstants, Machine, expert_terms, load_of
from moesaic.simulator.gpu.events import Blocks, run_blocks
from moesaic.simulator.gpu.grouped import GroupedProduct, product_blocks, product_run

H100 = Machine.of(device("h100-sxm"), "bf16")
ENDLESS = 1e30
WHOLE = ExpertConstants(
    wave_softness=0.01, overlap=8.0, resident_share=0.01, miss_share=1e-4, product_traffic=0.05
)
BLOCKS = st.lists(
    st.tuples(st.sampled_from([0.5, 1.0, 1.5, 4.0]), st.sampled_from([0.0, 1.0, 3.0, 8.0])),
    min_size=1,
    max_size=40,
)


def blocks_of(pairs):
    compute, moved = zip(*pairs, strict=True)
    return Blocks(
        compute_s=np.array(compute, float),
        moved_bytes=np.array(moved, float),
        group=np.zeros(len(pairs), np.int64),
    )


@given(st.integers(1, 400), st.integers(1, 64), st.floats(1e-6, 1e-3))
def test_equal_blocks_without_memory_take_whole_waves(count, slots, compute_s):
    run = run_blocks(blocks_of([(compute_s, 0.0)] * count), slots, 1.0)
    waves = math.ceil(count / slots)
    assert run.seconds == pytest.approx(waves * compute_s, rel=1e-12)
    assert run.idle_share == pytest.approx(1 - count / (slots * waves), abs=1e-9)
    assert run.waiting_share == pytest.approx(0, abs=1e-9)


@given(BLOCKS, st.integers(1, 8), st.floats(0.5, 20))
def test_every_run_lies_between_its_bounds(pairs, slots, bandwidth):
    blocks = blocks_of(pairs)
    took = run_blocks(blocks, slots, bandwidth).seconds
    assert took >= blocks.least_s(slots, bandwidth) * (1 - 1e-9)
    assert took <= blocks.most_s(slots, bandwidth) * (1 + 1e-9)


@given(BLOCKS, st.integers(1, 8), st.floats(0.5, 20))
def test_no_slot_runs_two_blocks_and_none_starts_out_of_order(pairs, slots, bandwidth):
    run = run_blocks(blocks_of(pairs), slots, bandwidth)
    assert (np.diff(run.start_s) >= 0).all()
    assert (run.end_s - run.start_s >= run.blocks.compute_s * (1 - 1e-9)).all()
    for slot in range(slots):
        mine = run.slot == slot
        assert (run.start_s[mine][1:] >= run.end_s[mine][:-1]).all()


def ticked(pairs, slots, bandwidth, tick):
    """The same machine by small steps of time: the end of each block."""
    running: dict[int, float] = {}
    ends, queue, now = [0.0] * len(pairs), list(range(len(pairs))), 0.0
    while queue or running:
        while queue and len(running) < slots:
            block = queue.pop(0)
            running[block] = pairs[block][0]
        left, rest, speed = bandwidth, len(running), {}
        for block in sorted(running, key=lambda b: pairs[b][1] / pairs[b][0]):
            demand = pairs[block][1] / pairs[block][0]
            given_it = min(demand, left / rest)
            speed[block] = given_it / demand if demand else 1.0
            left, rest = left - given_it, rest - 1
        now += tick
        for block, share in speed.items():
            running[block] -= tick * share
            if running[block] <= 1e-9:
                ends[block] = now
                del running[block]
    return ends


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0, 4.0])),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 4),
    st.floats(1, 8),
)
def test_events_equal_small_steps_of_time(pairs, slots, bandwidth):
    run = run_blocks(blocks_of(pairs), slots, bandwidth)
    slow = ticked(pairs, slots, bandwidth, 2.0**-8)
    np.testing.assert_allclose(run.end_s, slow, atol=2.0**-8 * (len(pairs) + 1))


def test_blocks_that_only_move_bytes_share_the_memory_evenly():
    run = run_blocks(blocks_of([(1e-9, 100.0), (1e-9, 100.0), (1e-9, 50.0)]), 3, 10.0)
    np.testing.assert_allclose(run.end_s, [25.0, 25.0, 15.0])
    assert run.waiting_share > 0.999


def test_what_an_undemanding_block_leaves_goes_to_the_others():
    run = run_blocks(blocks_of([(10.0, 10.0), (1.0, 9.0)]), 2, 10.0)
    np.testing.assert_allclose(run.end_s, [10.0, 1.0])


def test_ten_thousand_blocks_take_a_moment():
    pairs = [(1.0 + i % 3, float(i % 5)) for i in range(10_000)]
    began = time.perf_counter()
    run_blocks(blocks_of(pairs), 132, 150.0)
    assert time.perf_counter() - began < 2


def closed_s(loads, depth, columns, constants, machine):
    one, load = np.ones(1), load_of(np.asarray(loads, np.int64)[None, :])
    call = ExpertCall(
        tokens=one * sum(loads),
        group_rows=one * sum(loads),
        local_experts=one * len(loads),
        hidden=one * depth,
        inter=one * columns / 2,
        matrices_in=one * 2,
        weight_size=2.0,
        activation_size=2.0,
        assigned=load,
        reached=load,
    )
    return expert_terms(call, machine, constants)["gate_up"][0]


def product_of(loads, depth, columns):
    return GroupedProduct(
        loads=np.asarray(loads, np.int64),
        depth=depth,
        columns=columns,
        weight_size=2.0,
        activation_size=2.0,
    )


@pytest.mark.parametrize("rows", [128, 512, 1024])
def test_an_even_load_far_from_memory_is_the_closed_form(rows):
    unlimited = msgspec.structs.replace(
        H100, bandwidth_bytes_per_s=ENDLESS, cache_port_bytes_per_s=ENDLESS
    )
    run = product_run(product_of([rows] * 16, 4096, 2048), unlimited, WHOLE)
    closed = closed_s([rows] * 16, 4096, 2048, WHOLE, unlimited)
    assert run.seconds == pytest.approx(closed, rel=0.01)


def test_few_rows_are_bound_by_the_weights_in_both_modes():
    run = product_run(product_of([4] * 64, 4096, 2048), H100, WHOLE)
    closed = closed_s([4] * 64, 4096, 2048, WHOLE, H100)
    weights = 64 * 4096 * 2048 * 2 / (WHOLE.dram_share * H100.bandwidth_bytes_per_s)
    assert run.seconds == pytest.approx(weights, rel=0.05)
    assert closed == pytest.approx(weights, rel=0.05)
    assert run.waiting_share > 0.2


def test_skewed_loads_in_any_order_agree_and_the_busiest_first_are_slower():
    skewed = [510, 508, 313, 309, 251, 203, 201, 178, 151, *[40] * 30, *[5] * 25]
    mixed = np.random.default_rng(0).permutation(skewed).tolist()
    closed = closed_s(skewed, 4096, 2816, WHOLE, H100)
    assert product_run(product_of(mixed, 4096, 2816), H100, WHOLE).seconds == pytest.approx(
        closed, rel=0.05
    )
    assert product_run(product_of(skewed, 4096, 2816), H100, WHOLE).seconds > 1.05 * closed


def test_the_arithmetic_of_one_busy_expert_does_not_hide_the_weights_of_those_after_it():
    loads = [4096] + [1] * 63
    run = product_run(product_of(loads, 4096, 2816), H100, WHOLE)
    assert run.seconds > 1.1 * closed_s(loads, 4096, 2816, WHOLE, H100)
    assert run.seconds <= product_blocks(
        product_of(loads, 4096, 2816), H100, WHOLE, (128, 256)
    ).most_s(132, WHOLE.dram_share * float(H100.bandwidth_bytes_per_s))


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=12).filter(any), st.sampled_from([16, 64])
)
def test_blocks_hold_every_row_and_every_touched_weight_once(loads, high):
    blocks = product_blocks(product_of(loads, 512, 256), H100, WHOLE, (high, 64))
    assert blocks.compute_s.size == 4 * sum(-(-rows // high) for rows in loads)
    touched = sum(rows > 0 for rows in loads)
    wanted = touched * 512 * 256 * 2 + WHOLE.product_traffic * sum(loads) * (512 + 256) * 2
    assert blocks.moved_bytes.sum() == pytest.approx(wanted)
    assert set(blocks.group.tolist()) == {i for i, rows in enumerate(loads) if rows}


def test_a_run_is_shown_with_a_row_for_each_slot(tmp_path):
    run = run_blocks(blocks_of([(1e-6, 0.0)] * 5), 2, 1.0)
    timeline = run.timeline()
    assert timeline.seconds == run.seconds
    run.save(tmp_path / "blocks.json")
    events = json.loads((tmp_path / "blocks.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == 5


def test_no_blocks_take_no_time():
    run = product_run(product_of([0, 0], 512, 256), H100, WHOLE)
    assert run.seconds == 0


def test_blocks_and_slots_that_cannot_be_are_refused():
    with pytest.raises(BadInput, match="positive"):
        blocks_of([(0.0, 1.0)])
    with pytest.raises(BadInput, match="negative"):
        blocks_of([(1.0, -1.0)])
    with pytest.raises(BadInput, match="length"):
        Blocks(compute_s=np.ones(2), moved_bytes=np.ones(1), group=np.zeros(2, np.int64))
    with pytest.raises(BadInput, match="slots"):
        run_blocks(blocks_of([(1.0, 1.0)]), 0, 1.0)
    with pytest.raises(BadInput, match="bandwidth"):
        run_blocks(blocks_of([(1.0, 1.0)]), 1, 0.0)
    with pytest.raises(BadInput, match="loads"):
        product_of([-1], 16, 16)
    with pytest.raises(BadInput, match="depth"):
        product_of([1], 0, 16)
