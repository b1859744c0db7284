"""Arrays of designs: equal to one estimate after another, and to loops."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.hardware import Fpga
from moesaic.hardware.load import device
from moesaic.simulator.fpga import estimate
from moesaic.simulator.fpga.accelerators import accelerator
from moesaic.simulator.fpga.designs import UbiMoe
from moesaic.simulator.fpga.energy import image_j, static_w
from moesaic.simulator.fpga.points import Points, copy_steps, design_of, image_cycles, points_of
from moesaic.simulator.fpga.precision import PRECISIONS
from moesaic.simulator.fpga.resources import Shape, usage
from moesaic.simulator.fpga.run import simulate
from moesaic.workload.load import model

TINY = model("m3vit-tiny")
ZCU102 = device("zcu102")
assert isinstance(ZCU102, Fpga)
BOARD = msgspec.structs.replace(ZCU102, dsp=10**9)
"""So wide that `estimate` refuses no design."""
DEFAULTS: dict[str, Any] = {
    "precision": PRECISIONS["w16a32"],
    "clock_hz": 300e6,
    "lanes": 8,
    "queries": 4,
    "copies": 1,
    "tin": 16,
    "tout": 16,
    "units": 3,
}

designs = st.fixed_dictionaries({
    "precision": st.sampled_from(sorted(PRECISIONS)),
    "clock_hz": st.sampled_from((150e6, 300e6, 450e6)),
    "port_bits": st.sampled_from((32, 64, 128, 256, 512, 1024)),
    "queries": st.integers(1, 40),
    "tin": st.integers(1, 64),
    "tout": st.integers(1, 64),
    "units": st.integers(1, 20),
})  # fmt: skip


def point(**change: Any):
    return Points(**DEFAULTS | change)


def made(asked, copies=1):
    form = PRECISIONS[asked["precision"]]
    rest = {k: v for k, v in asked.items() if k not in ("precision", "port_bits")}
    return Points(
        precision=form, lanes=asked["port_bits"] // form.feature_bits, copies=copies, **rest
    )


def drawn_queues(tokens, seed):
    """A layer's tokens each take two different experts out of a few that are liked."""
    rng = np.random.default_rng(seed)
    liked = rng.integers(2, 17)
    rows = np.zeros((6, 16), np.int64)
    for row in rows:
        for _ in range(tokens):
            row[rng.permutation(liked)[:2]] += 1
    return rows


@settings(max_examples=60)
@given(asked=designs, tokens=st.integers(2, 260), seed=st.integers(0, 99))
def test_a_point_gives_what_the_estimate_of_its_design_gives(asked, tokens, seed):
    points, queues = made(asked), drawn_queues(tokens, seed)
    fast = image_cycles(points, TINY, tokens, queues[None], BOARD.memory.bandwidth_bytes_per_s)
    plain = estimate(design_of(points), TINY, tokens, BOARD, points.clock_hz, queues)
    assert fast.full_overlap / points.clock_hz == pytest.approx(plain.full_overlap_s, rel=1e-12)
    assert fast.no_overlap / points.clock_hz == pytest.approx(plain.no_overlap_s, rel=1e-12)
    gate = sum(term.cycles for term in plain.terms if term.name == "gate")
    scheduled = plain.full_overlap_s + gate / points.clock_hz
    assert fast.scheduled / points.clock_hz == pytest.approx(scheduled, rel=1e-12)


@given(asked=designs)
def test_a_design_is_the_point_that_it_was_made_of(asked):
    points = made(asked | {"port_bits": max(64, asked["port_bits"])})
    assert points_of(design_of(points), points.clock_hz) == points


def test_a_design_of_a_format_of_its_own_keeps_it():
    design = UbiMoe(feature_bits=24, weight_bits=12, port_bits=240, dsp_per_feature=2)
    form = points_of(design, 3e8).precision
    assert (form.name, form.feature_bits, form.dsp_per_feature, form.per_dsp) == (
        "w12a24",
        24,
        2,
        1,
    )


def test_arrays_give_what_their_points_give():
    columns = {
        "lanes": np.array([4, 8])[:, None, None],
        "queries": np.array([1, 5, 16])[:, None],
        "units": np.array([1, 2, 7, 12]),
    }
    queues = drawn_queues(129, 0)[None]
    whole = image_cycles(point(**columns), TINY, 129, queues, 19.2e9).no_overlap
    assert whole.shape == (2, 3, 4)
    for place in np.ndindex(whole.shape):
        one = {
            name: int(np.broadcast_to(values, whole.shape)[place])
            for name, values in columns.items()
        }
        single = image_cycles(point(**one), TINY, 129, queues, 19.2e9)
        assert whole[place] == single.no_overlap


def test_several_images_give_the_mean_of_each_alone():
    images = np.stack([drawn_queues(129, seed) for seed in range(3)])
    points = point()
    alone = [image_cycles(points, TINY, 129, one[None], 19.2e9) for one in images]
    together = image_cycles(points, TINY, 129, images, 19.2e9)
    for name in ("full_overlap", "scheduled", "no_overlap", "beats", "busy"):
        assert getattr(together, name) == pytest.approx(np.mean([getattr(c, name) for c in alone]))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"tout": 32, "units": 1},
        pytest.param({"queries": 8, "tin": 8, "units": 5}, marks=pytest.mark.slow),
    ],
)
def test_the_schedule_is_that_of_the_whole_image_in_time(change):
    """With a memory that never makes anybody wait, the simulation of every FIFO and port takes what
    the formula gives and 1 to 4% more: pipelines that fill and drain, kernels that hand over."""
    memory = msgspec.structs.replace(BOARD.memory, bandwidth_bytes_per_s=1e13)
    ideal, points = msgspec.structs.replace(BOARD, memory=memory), point(**change)
    design = msgspec.structs.replace(design_of(points), memory_latency_s=1e-9)
    queues = drawn_queues(129, 5)
    formula = image_cycles(points, TINY, 129, queues[None], 1e13).scheduled
    graph = accelerator(design, TINY, 129, ideal, clock_hz=300e6, queues=queues)
    assert 1.01 < simulate(graph).cycles / formula < 1.04


@given(
    tokens=st.integers(1, 60), queries=st.integers(1, 9), copies=st.integers(1, 5)
)  # fmt: skip
def test_each_copy_streams_all_keys_past_its_share_of_the_queries(tokens, queries, copies):
    share = -(-tokens // copies)
    rounds = len(range(0, share, queries))
    skew = (share - 1) % queries
    assert copy_steps(tokens, queries, copies) == tokens * rounds + skew


def test_images_follow_each_other_no_faster_than_the_slower_of_attention_and_the_rest():
    points = point(queries=np.array([1, 4, 16]))
    cycles = image_cycles(points, TINY, 197, np.full((1, 6, 16), 24), 19.2e9)
    assert (cycles.interval == np.maximum(cycles.stream, cycles.scheduled - cycles.stream)).all()
    assert (cycles.interval[0], cycles.interval[2]) == (cycles.stream[0], cycles.beside)


@settings(max_examples=20)
@given(
    queries=st.integers(1, 16),
    units=st.integers(1, 12),
    form=st.sampled_from(sorted(PRECISIONS)),
)
def test_no_image_costs_less_than_the_board_leaks(queries, units, form):
    points = point(precision=PRECISIONS[form], queries=queries, units=units)
    cycles = image_cycles(points, TINY, 129, drawn_queues(129, 1)[None], 19.2e9)
    taken = usage(points, Shape.of(TINY, 129), BOARD)
    latency = cycles.scheduled / 300e6
    assert image_j(points, cycles, taken, BOARD, latency) > static_w(BOARD) * latency
    twice = image_j(points, cycles, taken, BOARD, 2 * latency)
    once = image_j(points, cycles, taken, BOARD, latency)
    assert twice - once == pytest.approx(static_w(BOARD) * latency)
