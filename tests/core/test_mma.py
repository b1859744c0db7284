"""mma.sync bit by bit: the plain rule and the fast path against golden vectors, and each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic._core import convert_words, mma_dot, mma_tiles

DATA = Path(__file__).parent / "data" / "mma"
FILES = {
    "bf16_k16_f32": ("bf16", False, (80, 89, 90, 100, 120)),
    "f16_k16_f32": ("f16", False, (80, 89, 90, 100, 120)),
    "f16_k16_f16": ("f16", True, (80, 89, 90, 100, 120)),
    "e4m3_k32_f32": ("e4m3", False, (89, 120)),
}
DIAGONAL = np.arange(8)


def words(array):
    return np.ascontiguousarray(array, np.uint32)


@pytest.mark.parametrize("name", FILES)
def test_every_golden_vector_is_met_to_the_bit(name):
    form, half_sums, architectures = FILES[name]
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        stored = {key: words(file[key]) for key in file.files if key != "family"}
    a, b, c = stored["a"], stored["b"], stored["c"]
    # Eight cases to a tile, on the diagonals of its upper and its lower half.
    rows = a.reshape(-1, 8, a.shape[1])
    sums = np.zeros((len(rows), 16, 8), np.uint32)
    sums[:, DIAGONAL, DIAGONAL] = sums[:, DIAGONAL + 8, DIAGONAL] = c.reshape(-1, 8)
    tile = (words(np.concatenate([rows, rows], axis=1)), b.reshape(-1, 8, b.shape[1]), sums)
    for sm in architectures:
        wanted = stored[f"d_sm{sm}_mma"]
        assert np.array_equal(mma_dot(form, form, half_sums, sm, a, b, c), wanted), sm
        found = mma_tiles(form, form, half_sums, sm, *tile)
        for half in (0, 8):
            assert np.array_equal(found[:, DIAGONAL + half, DIAGONAL].ravel(), wanted), sm


BITS = {"bf16": (16, 7), "f16": (16, 10), "tf32": (32, 23), "e4m3": (8, 3), "e5m2": (8, 2)}
RULES = [(a, a, sm) for a in ("bf16", "f16", "tf32") for sm in (80, 89, 90)]
RULES += [(a, b, sm) for a in ("e4m3", "e5m2") for b in ("e4m3", "e5m2") for sm in (89, 120)]


def drawn(rng, form, shape, spread):
    """Random words whose exponents lie `spread` around one; a few zeros and any patterns at all."""
    bits, fraction = BITS[form]
    bias = 2 ** (bits - 2 - fraction) - 1
    field = np.clip(rng.integers(-spread, spread + 1, shape) + bias, 0, 2 * bias)
    normal = field << fraction | rng.integers(0, 2**fraction, shape)
    normal |= rng.integers(0, 2, shape) << (bits - 1)
    choice = rng.random(shape)
    anything = rng.integers(0, 2**bits, shape)
    return words(np.where(choice < 0.2, 0, np.where(choice > 0.999, anything, normal)))


@settings(max_examples=60, deadline=None)
@given(
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 2**32),
    spread=st.sampled_from([0, 3, 12, 30, 70, 130]),
    half_depth=st.booleans(),
    half_sums=st.booleans(),
)
def test_the_fast_path_equals_the_plain_rule(rule, seed, spread, half_depth, half_sums):
    a_form, b_form, sm = rule
    depth = {32: 8, 16: 16, 8: 32}[BITS[a_form][0]] // (1 + half_depth)
    rng = np.random.default_rng(seed)
    a, b = drawn(rng, a_form, (4, 16, depth), spread), drawn(rng, b_form, (4, 8, depth), spread)
    half_sums &= a_form != "tf32" and a_form != "bf16"
    c = drawn(rng, "f16" if half_sums else "tf32", (4, 16, 8), spread)
    found = mma_tiles(a_form, b_form, half_sums, sm, a, b, c)
    left = words(np.broadcast_to(a[:, :, None], (4, 16, 8, depth)).reshape(-1, depth))
    right = words(np.broadcast_to(b[:, None], (4, 16, 8, depth)).reshape(-1, depth))
    wanted = mma_dot(a_form, b_form, half_sums, sm, left, right, c.ravel())
    assert np.array_equal(found.ravel(), wanted)


def test_small_whole_numbers_are_exact_whatever_the_lane():
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(-8, 9, shape) for shape in ((16, 16), (8, 16), (16, 8)))
    bits = [words(x.astype(np.float32).view(np.uint32)) for x in (a, b, c)]
    for form in ("bf16", "f16", "e5m2", "e4m3"):
        left, right = (
            convert_words("f32", form, "rn", False, x.ravel()).reshape(1, *x.shape)
            for x in bits[:2]  # a depth of 16: all of it, and half of fp8's
        )
        found = mma_tiles(form, form, False, 89, left, right, bits[2][None])
        assert np.array_equal(found[0].view(np.float32), c + a @ b.T)


def test_more_fraction_bits_and_one_step_tell_the_architectures_apart():
    one, tiny = np.float32(1).view(np.uint32), 0x3300  # bf16 2^-25
    a = words([[tiny] * 4 + [0] * 12])
    b = words([[0x3F80] * 16])
    found = {sm: int(mma_dot("bf16", "bf16", False, sm, a, b, words([one]))[0]) for sm in (80, 90)}
    assert found == {80: 0x3F800000, 90: 0x3F800001}


@pytest.mark.parametrize(
    ("a", "b", "sm", "sentence"),
    [
        ("e4m3", "e4m3", 80, "sm_80 rounds mma of 8-bit floats is not known"),
        ("bf16", "bf16", 75, "sm_75"),
        ("bf16", "e4m3", 90, "do not multiply bf16 by e4m3"),
        ("bf15", "bf15", 90, "no number format is called bf15"),
    ],
)
def test_what_is_not_known_is_refused(a, b, sm, sentence):
    zeros = np.zeros((1, 16), np.uint32)
    with pytest.raises(ValueError, match=sentence):
        mma_dot(a, b, False, sm, zeros, zeros, zeros[0, :1])


def test_shapes_that_do_not_fit_are_refused():
    row = np.zeros((1, 16), np.uint32)
    with pytest.raises(ValueError, match="cases"):
        mma_dot("bf16", "bf16", False, 80, row, row, row[0])
    with pytest.raises(ValueError, match="all or half"):
        mma_dot("bf16", "bf16", False, 80, row[:, :4].copy(), row[:, :4].copy(), row[0, :1])
    with pytest.raises(ValueError, match="tiles, 16"):
        mma_tiles("bf16", "bf16", False, 80, row[None], row[None], row[None])


def test_f16_conversions_are_numpys():
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(20000) * 2.0 ** rng.integers(-30, 20, 20000)).astype(np.float32)
    values[:6] = [0, -0.0, np.inf, -np.inf, 65519.9, 65520]
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    found = convert_words("f32", "f16", "rn", False, values.view(np.uint32))
    assert np.array_equal(found, wanted.view(np.uint16))
    every = np.arange(2**16, dtype=np.uint32)
    back = convert_words("f16", "f32", "rn", False, every).view(np.float32)
    assert np.array_equal(back, every.astype(np.uint16).view(np.float16), equal_nan=True)


@pytest.mark.parametrize(
    ("to", "rounding", "finite", "value", "word"),
    [
        ("bf16", "rn", False, 1 + 2**-8, 0x3F80),  # half way: to the even one
        ("bf16", "rn", False, 1 + 3 * 2**-8, 0x3F82),
        ("bf16", "rz", False, 2 - 2**-20, 0x3FFF),
        ("bf16", "rn", False, 3.4e38, 0x7F80),
        ("bf16", "rz", False, np.finfo(np.float32).max, 0x7F7F),
        ("bf16", "rn", False, np.nan, 0x7FFF),
        ("tf32", "rna", False, 1 + 2**-11, 0x3F802000),  # half way: away from zero
        ("e4m3", "rn", True, 448, 0x7E),
        ("e4m3", "rn", True, 1e6, 0x7E),
        ("e4m3", "rn", True, -np.inf, 0xFE),
        ("e4m3", "rn", True, np.nan, 0x7F),
        ("e4m3", "rn", True, 2**-9, 0x01),
        ("e4m3", "rn", True, 2**-10, 0x00),
        ("e4m3", "rn", True, 0.99 * 2**-6, 0x08),  # rounds up to the first normal number
        ("e5m2", "rn", True, 57344, 0x7B),
        ("e5m2", "rn", True, 1e6, 0x7B),
        ("e5m2", "rn", False, 1e6, 0x7C),
        ("e5m2", "rn", False, -(2**-16), 0x81),
    ],
)
def test_conversions_by_hand(to, rounding, finite, value, word):
    bits = np.array([value], np.float32).view(np.uint32)
    assert int(convert_words("f32", to, rounding, finite, bits)[0]) == word
