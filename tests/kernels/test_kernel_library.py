"""The numpy meaning of the grouped GEMM, its shapes, and bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.kernels import kernel
from moesaic.kernels.library.bf16 import from_bits, to_bits
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape, reference

GEMM = kernel("grouped-gemm")


@given(
    st.floats(
        width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**126), max_value=2.0**126
    )
)
def test_bf16_is_the_nearest_of_its_neighbours(value):
    bits = to_bits(np.array([value]))
    nearest = float(from_bits(bits)[0])
    for step in (-1, 1):
        other = float(from_bits((bits.astype(np.int64) + step).astype(np.uint16))[0])
        if np.isfinite(other):
            assert abs(nearest - value) <= abs(other - value)


def test_bf16_by_hand():
    values = np.array([1.0, -2.0, 1 + 2**-8, 1 + 3 * 2**-8, np.inf, np.nan, 0.0])
    # Halfway cases go to the even neighbour.
    expected = [1.0, -2.0, 1.0, 1 + 2**-6, np.inf, np.nan, 0.0]
    np.testing.assert_array_equal(from_bits(to_bits(values)), np.array(expected, np.float32))


def test_the_reference_is_swiglu_of_each_experts_rows():
    rng = np.random.default_rng(0)
    shape = GroupedGemmShape(rows=(2, 0, 3), depth=4, columns=5)
    x, w = rng.standard_normal((5, 4)), rng.standard_normal((3, 10, 4))
    out = reference(x, w, shape.row_starts(), True)
    for row, expert in enumerate([0, 0, 2, 2, 2]):
        gate, up = w[expert, :5] @ x[row], w[expert, 5:] @ x[row]
        np.testing.assert_allclose(out[row], gate / (1 + np.exp(-gate)) * up)
    down = reference(x, w[:, :5], shape.row_starts(), False)
    np.testing.assert_allclose(down[4], w[2, :5] @ x[4])


def test_tiles_and_grid_count_the_tails_of_each_expert():
    config = GEMM.config("down-16x128")
    shape = GroupedGemmShape(rows=(0, 1, 16, 17), depth=128, columns=256)
    assert shape.row_starts().tolist() == [0, 0, 1, 17, 34]
    assert shape.tile_starts(config).tolist() == [0, 0, 1, 2, 4]
    launch = GEMM.launch(config, shape)
    assert launch.grid == (2, 4, 1)
    assert launch.threads == 128
    assert launch.shared_bytes == 4 * (16 + 128) * 64 * 2


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (GroupedGemmShape((4,), 96, 128), "depth is read in whole tiles: depth % BK == 0"),
        (GroupedGemmShape((4,), 128, 192), "column tiles have no tail: columns % BN == 0"),
    ],
)
def test_a_shape_that_the_config_cannot_serve_is_refused(shape, sentence):
    with pytest.raises(BadInput, match=sentence):
        GEMM.launch(GEMM.config("down-16x128"), shape)


@pytest.mark.parametrize("bad", [((), 1, 1), ((-1,), 1, 1), ((1,), 0, 1)])
def test_a_shape_without_sense_is_refused(bad):
    with pytest.raises(BadInput, match="at least one expert"):
        GroupedGemmShape(*bad)
