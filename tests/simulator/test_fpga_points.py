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
from moesaic.simulator.fpga.energy import image_j, static_w
from moesaic.simulator.fpga.points import Points, copy_steps, design_of, image_cycles
from moesaic.simulator.fpga.precision import PRECISIONS
from moesaic.simulator.fpga.resources import Shape, usage
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
    shown = sum(t.cycles for t in plain.terms if t.name in ("weight loads", "gate"))
    sequence = plain.full_overlap_s + shown / points.clock_hz
    assert fast.sequence / points.clock_hz == pytest.approx(sequence, rel=1e-12)


def test_arrays_give_what_their_points_give():
    columns: dict[str, Any] = {
        "lanes": np.array([4, 8])[:, None, None],
        "queries": np.array([1, 5, 16])[:, None],
        "units": np.array([1, 2, 7, 12]),
    }
    queues = drawn_queues(129, 0)[None]
    whole = image_cycles(Points(**DEFAULTS | columns), TINY, 129, queues, 19.2e9).no_overlap
    assert whole.shape == (2, 3, 4)
    for place in np.ndindex(whole.shape):
        one = {
            name: int(np.broadcast_to(values, whole.shape)[place])
            for name, values in columns.items()
        }
        single = image_cycles(Points(**DEFAULTS | one), TINY, 129, queues, 19.2e9)
        assert whole[place] == single.no_overlap


def test_several_images_give_the_mean_of_each_alone():
    images = np.stack([drawn_queues(129, seed) for seed in range(3)])
    points = Points(**DEFAULTS)
    alone = [image_cycles(points, TINY, 129, one[None], 19.2e9) for one in images]
    together = image_cycles(points, TINY, 129, images, 19.2e9)
    for name in ("full_overlap", "sequence", "no_overlap", "beats", "busy"):
        assert getattr(together, name) == pytest.approx(np.mean([getattr(c, name) for c in alone]))


def test_ubimoes_defaults_in_sequence():
    """17.0 ms at 197 tokens, as an earlier sum of its loops; both token counts."""
    for tokens, milliseconds in ((129, 10.2), (197, 17.0)):
        queues = np.full((1, 6, 16), tokens // 8)
        queues[..., : tokens * 2 % 16] += 1
        cycles = image_cycles(Points(**DEFAULTS), TINY, tokens, queues, 19.2e9)
        assert cycles.sequence / 300e3 == pytest.approx(milliseconds, abs=0.05)


@given(
    tokens=st.integers(1, 60), queries=st.integers(1, 9), copies=st.integers(1, 5)
)  # fmt: skip
def test_each_copy_streams_all_keys_past_its_share_of_the_queries(tokens, queries, copies):
    share = -(-tokens // copies)
    rounds = len(range(0, share, queries))
    skew = (share - 1) % queries
    assert copy_steps(tokens, queries, copies) == tokens * rounds + skew


def test_two_images_under_way_take_the_slower_of_attention_and_the_rest():
    points = Points(**DEFAULTS | {"queries": np.array([1, 4, 16])})
    cycles = image_cycles(points, TINY, 197, np.full((1, 6, 16), 24), 19.2e9)
    assert (cycles.interval == np.maximum(cycles.stream, cycles.sequence - cycles.stream)).all()
    assert (cycles.interval[0], cycles.interval[2]) == (cycles.stream[0], cycles.beside)


@given(
    queries=st.integers(1, 16),
    units=st.integers(1, 12),
    form=st.sampled_from(sorted(PRECISIONS)),
)
def test_no_image_costs_less_than_the_board_leaks(queries, units, form):
    points = Points(
        **DEFAULTS | {"precision": PRECISIONS[form], "queries": queries, "units": units}
    )
    cycles = image_cycles(points, TINY, 129, drawn_queues(129, 1)[None], 19.2e9)
    taken = usage(points, Shape.of(TINY, 129), BOARD)
    latency = cycles.sequence / 300e6
    assert image_j(points, cycles, taken, BOARD, latency) > static_w(BOARD) * latency
    twice = image_j(points, cycles, taken, BOARD, 2 * latency)
    once = image_j(points, cycles, taken, BOARD, latency)
    assert twice - once == pytest.approx(static_w(BOARD) * latency)
