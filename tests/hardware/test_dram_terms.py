"""Sums of timing names are read by hand and mean what Python's own arithmetic says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.hardware.dram_terms import MOST_LETTERS, terms, value

NAMES = ("tCL", "tCWL", "burst_cycles", "tWTR_L")
CYCLES = st.fixed_dictionaries({name: st.integers(0, 10**6) for name in NAMES})
SPACE = st.sampled_from(["", " ", "  "])


@st.composite
def sums(draw):
    """A sum as text, with the spaces that people put in."""
    words = [draw(st.sampled_from(["", "-", "+"]))]
    for i in range(draw(st.integers(1, 8))):
        if i:
            words.append(draw(st.sampled_from("+-")))
        term = draw(st.sampled_from(NAMES) | st.integers(0, 999_999).map(str))
        words.append(draw(SPACE) + term + draw(SPACE))
    return "".join(words)


@given(text=sums(), cycles=CYCLES)
def test_a_sum_is_what_python_makes_of_it(text, cycles):
    whole = re.sub(r"\b0+(?=\d)", "", text)
    assert value(text, cycles, {}) == eval(whole, {"__builtins__": {}}, dict(cycles))


@given(text=st.text("tCLRFtrfc019 +-*/().e\t\x00×²", max_size=40))
def test_any_other_text_is_refused_or_adds_up(text):
    try:
        found = terms(text)
    except ValueError:
        return
    rebuilt = "".join(f"{'-' if sign < 0 else '+'}{term}" for sign, term in found)
    assert rebuilt.lstrip("+") == re.sub(r"\s", "", text).lstrip("+") or "0" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "tCL +",
        "tCL tCWL",
        "2 * tCL",
        "tCL()",
        "tCL.real",
        "__import__('os')",
        "1e3",
        "1.5",
        "1_000",
        "0x10",
        "tCL -- 2",
        "\u0663",
        "tCL\x00",
        "9999999",
        "t" * 40,
        "+".join(["tCL"] * MOST_LETTERS),
    ],
)
def test_what_is_no_sum_is_refused(text):
    with pytest.raises(ValueError, match="joined by"):
        terms(text)


def test_a_missing_name_takes_what_stands_for_it():
    cycles = {"tCL": 14, "tCWL": 5, "burst_cycles": 2}
    defaults = {"tRTW": "tCL + burst_cycles + 2 - tCWL", "tPPD": "0"}
    assert value("tRTW + tPPD", cycles, defaults) == 13
    assert value("tRTW", cycles | {"tRTW": 20}, defaults) == 20


def test_a_circle_of_defaults_is_refused():
    with pytest.raises(ValueError, match="has no timing"):
        value("a", {}, {"a": "b", "b": "a"})
