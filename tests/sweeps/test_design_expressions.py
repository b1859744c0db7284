"""Expressions of a space: arithmetic on columns, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.sweeps.design.expressions import expression

NAMES = {"a": "number", "b": "number", "system.device.power_w": "number", "on": "text"}
ROWS = {
    "a": np.array([1, 2, 0]),
    "b": np.array([2.0, 2.0, 5.0]),
    "system.device.power_w": np.array([700.0, 1.0, 2.0]),
    "on": np.array(["x", "y", "x"], object),
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a * 2 + 1", [3, 5, 1]),
        ("-a ** 2 + 7 % 4 - 7 // 2", [-1, -4, 0]),
        ("max(a, 1, b) - min(a, b)", [1, 0, 5]),
        ("a if a > 1 else system.device.power_w", [700, 2, 2]),
        ("a < b <= 2", [True, False, False]),
        ("on in ['x', 'z'] and not a == 1 or a == 2", [False, True, True]),
        ("on not in ['x']", [False, True, False]),
        ("'p' if on == 'x' else on", ["p", "y", "p"]),
        ("ceil(log2(b)) + floor(sqrt(b)) + round(a / 2) + abs(-a) + exp(0) + log(1)", [4, 6, 6]),
    ],
)
def test_an_expression_is_arithmetic_on_columns(text, wanted):
    assert expression(text, NAMES, "k")(ROWS).tolist() == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "a +", "__import__('os').system('x')", "a.__class__", "(lambda: 1)()", "a[0]", "[a]",
        "f'{a}'", "a := 2", "on < 'x'", "a + on", "not a", "a and b", "a if b else 2", "min()",
        "sqrt(a, b)", "min(a, key=b)", "a in []", "a in b", "True", "1j", "~a", "a @ b", "on * 3",
        "(" * 400 + "a" + ")" * 400, "+".join("a" * 300), "a" * 2000, "9" * 999,
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(text):
    with pytest.raises(BadInput, match=r"^k: "):
        expression(text, NAMES, "k")


@given(st.text(st.sampled_from("ab19.+-*/%<>=!()[], 'onifelsdtrmx_"), max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_does_anything_but_give_a_column_or_one_sentence(text):
    try:
        found = expression(text, NAMES, "k")
    except BadInput:
        return
    assert np.broadcast_to(found(ROWS), 3).shape == (3,)


def test_a_power_tower_ends_at_once():
    assert expression("9 ** 9 ** 9 ** 9", NAMES, "k")(ROWS) == np.inf
