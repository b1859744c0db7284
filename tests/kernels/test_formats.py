"""bf16, fp16 and e4m3 in numpy: exact, nearest, ties to even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.kernels.library.formats import BF16, DTYPES, E4M3, FP16, FP32

of_each = pytest.mark.parametrize("form", DTYPES, ids=lambda form: form.name)


@of_each
def test_every_number_of_a_format_survives_both_ways(form):
    bits = np.arange(2 * (form.ones + 1)).astype(form.stored)
    numbers = form.decode(bits)
    real = ~np.isnan(numbers)
    np.testing.assert_array_equal(form.encode(numbers)[real], bits[real])
    assert np.isnan(form.decode(form.encode(numbers)))[~real].all()
    # Positive magnitudes grow with their bits.
    assert (np.diff(numbers[: form.top + 1]) > 0).all()


def test_fp16_is_numpys_half_precision():
    bits = np.arange(2**16, dtype=np.uint16)
    half = bits.view(np.float16)
    np.testing.assert_array_equal(FP16.decode(bits), half.astype(float))
    values = np.random.default_rng(0).standard_normal(5000) * 2.0 ** np.arange(-30, 20).repeat(100)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16).view(np.uint16)
    np.testing.assert_array_equal(FP16.encode(values), wanted)


def test_bf16_is_the_upper_half_of_a_float():
    bits = np.arange(2**16, dtype=np.uint16)
    upper = (bits.astype(np.uint32) << 16).view(np.float32)
    real = ~np.isnan(upper)
    np.testing.assert_array_equal(BF16.decode(bits)[real], upper[real].astype(float))


def test_fp32_is_numpys_own():
    values = np.random.default_rng(0).standard_normal(4000) * 2.0 ** np.arange(-155, 45).repeat(20)
    single = values.astype(np.float32)
    np.testing.assert_array_equal(FP32.encode(values), single.view(np.uint32))
    np.testing.assert_array_equal(FP32.decode(single.view(np.uint32)), single.astype(float))


@of_each
@given(value=st.floats(min_value=-400, max_value=400))
def test_rounding_finds_the_nearest_and_its_error_has_the_bound(form, value):
    bits = int(form.encode(np.array([value]))[0])
    nearest = float(form.decode(np.array([bits]))[0])
    for other in (bits - 1, bits + 1):
        if 0 <= other & form.ones <= form.top and other >= 0:
            away = abs(float(form.decode(np.array([other]))[0]) - value)
            assert abs(nearest - value) <= away
    assert abs(nearest - value) <= max(form.unit * abs(value), form.smallest / 2)


@pytest.mark.parametrize(
    ("form", "value", "rounded"),
    [
        (BF16, 1 + 2**-8, 1.0),
        (BF16, 1 + 3 * 2**-8, 1 + 2**-6),
        # Just above the tie in float64; a step through float32 would round it down.
        (BF16, 1 + 2**-8 + 2**-40, 1 + 2**-7),
        (BF16, 3.39e38, 3.3895313892515355e38),
        (BF16, 3.4e38, np.inf),
        (BF16, 1e39, np.inf),
        (FP16, 65520.0, np.inf),
        (FP16, 65519.0, 65504.0),
        (FP16, 2**-25, 0.0),
        (E4M3, 17.0, 16.0),
        (E4M3, 19.0, 20.0),
        (E4M3, 449.0, 448.0),
        (E4M3, -1e9, -448.0),
        (E4M3, np.inf, 448.0),
        (E4M3, 2**-10, 0.0),
        (E4M3, 3 * 2**-10, 2**-8),
    ],
)
def test_by_hand(form, value, rounded):
    assert form.decode(form.encode(np.array([value])))[0] == rounded


@of_each
def test_nan_stays_nan_and_zeros_keep_their_sign(form):
    back = form.decode(form.encode(np.array([np.nan, -0.0, 0.0])))
    assert np.isnan(back[0])
    assert np.signbit(back[1:]).tolist() == [True, False]
