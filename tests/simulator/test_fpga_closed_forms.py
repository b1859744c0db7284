"""Block cycles: equal to RTL, SCALE-Sim and the HLS C++ wherever those were run, and to loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.simulator.fpga.closed_forms import (
    SCALESIM,
    attention_cycles,
    attention_dsp,
    feature_cycles,
    gate_cycles,
    linear_cycles,
    linear_dsp,
    matrix_cycles,
    stream_counts,
    stream_steps,
    systolic_cycles,
    weight_cycles,
)

SMALL = st.integers(1, 40)


def test_the_streaming_attention_of_edge_moe_by_hand():
    # 129 tokens, 4 queries at once: 33 rounds of 129 keys without a rest; 24 beats a row.
    assert stream_steps(129, 4) == 129 * 33
    assert attention_cycles(tokens=129, width=192, queries=4, lanes=8) == 102_168


@pytest.mark.parametrize(
    ("stream", "count"),
    [
        ("q_stream", 3096),
        ("k_stream", 102_168),
        ("v_stream", 102_168),
        ("qxk_stream", 4257),
        ("attn_stream", 17_028),
        ("attn_softmax_info_stream", 129),
        ("attn_matmul_v_stream", 3096),
    ],
)
def test_fifo_tokens_are_those_counted_in_edge_moes_hls(stream, count):
    """sharc-lab/Edge-MoE C++ run on a CPU for this project: T 129, D 192, p 4, 8 lanes."""
    assert stream_counts(129, 192, 4, 8)[stream] == count


@pytest.mark.parametrize(("width", "count"), [(192, 1548), (768, 6192)])
def test_the_linear_units_input_stream_is_the_one_counted(width, count):
    """The same run: 16 features a beat."""
    assert feature_cycles(129, width, lanes=16) == count


@pytest.mark.parametrize(
    ("rows", "columns", "m", "n", "k", "cycles"),
    [
        (4, 4, 20, 20, 64, 1750),
        (4, 4, 197, 96, 192, 237_600),
        (8, 8, 20, 20, 64, 702),
    ],
)
def test_systolic_cycles_equal_rtl(rows, columns, m, n, k, cycles):
    """Verilator 5.006, Amaranth 0.5.10 and cocotb, measured for this project, outputs checked."""
    assert systolic_cycles(m, n, k, rows, columns) == cycles


@pytest.mark.parametrize(
    ("dataflow", "m", "n", "k", "cycles"),
    [
        ("ws", 197, 384, 192, 69_983),
        ("os", 197, 384, 192, 69_263),
        ("is", 197, 384, 192, 67_079),
        ("ws", 32, 32, 32, 311),
    ],
)
def test_stall_free_cycles_equal_scalesim(dataflow, m, n, k, cycles):
    """SCALE-Sim 3.0.0, 16 x 16, measured for this project."""
    assert SCALESIM[dataflow](m, n, k, 16, 16) == cycles


def test_dsp_of_ubimoe_by_its_equation_2():
    assert linear_dsp(per_multiply=2, tin=16, tout=16, units=3) == 1536
    assert attention_dsp(per_multiply=4, lanes=8, queries=4) == 256
    assert attention_dsp(4, 8, 4, heads=3, per_exp=7) == 256 + 3 * 7 * 4


@given(tokens=SMALL, inputs=SMALL, outputs=SMALL, tile=st.integers(1, 8), units=st.integers(1, 5))
def test_the_linear_kernels_cycles_are_its_loops_turns(tokens, inputs, outputs, tile, units):
    turns = sum(
        1
        for _ in range(0, tokens, units)
        for _ in range(0, inputs, tile)
        for _ in range(0, outputs, tile)
    )
    assert linear_cycles(tokens, inputs, outputs, tile, tile, units) == turns


@given(tokens=st.integers(1, 200), queries=st.integers(1, 16))
def test_every_query_meets_every_key_and_fewer_than_two_rounds_are_skew(tokens, queries):
    steps = stream_steps(tokens, queries)
    assert steps * queries >= tokens * tokens
    assert steps < tokens * (tokens / queries + 1) + queries
    assert stream_steps(tokens, 1) == tokens * tokens


@given(tokens=st.integers(1, 300), units=st.integers(1, 16))
def test_a_matrix_is_bound_by_its_reader_beyond_twelve_units(tokens, units):
    """UbiMoE fc1, 192 -> 384, 16 x 16, 8 lanes: input-bound when units > Do lanes / (Tin Tout)."""
    whole = tokens * units  # no padding
    cycles = matrix_cycles(whole, 192, 384, 16, 16, units, 8)
    compute = linear_cycles(whole, 192, 384, 16, 16, units)
    written = feature_cycles(whole, 384, 8, units)
    assert cycles == max(compute, written, feature_cycles(whole, 192, 8, units))
    assert (feature_cycles(whole, 192, 8, units) > compute) == (units > 12)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_formulas_give_on_arrays_what_they_give_on_numbers(sizes):
    tokens = np.array(sizes)
    for formula in (
        lambda t: attention_cycles(t, 192, 4, 8),
        lambda t: matrix_cycles(t, 192, 384, 16, 16, 3, 8),
        lambda t: gate_cycles(t, 192, 16, 8),
        lambda t: weight_cycles(t, 384),
        lambda t: SCALESIM["is"](t, 384, 192, 16, 16),
    ):
        assert formula(tokens).tolist() == [formula(size) for size in sizes]
