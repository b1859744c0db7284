"""Quantities are read as people write them and printed as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.base.units import parse, show, unit_of


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("4.8 TB/s", "B/s", 4.8e12),
        ("400 Gb/s", "B/s", 50e9),
        ("80 GiB", "B", 80 * 2**30),
        ("989.4 TFLOP/s", "FLOP/s", 989.4e12),
        ("624 TOP/s", "FLOP/s", 624e12),
        ("0.8us", "s", 0.8e-6),
        ("27.84 pJ/B", "J/B", 27.84e-12),
        ("3.48 pJ/b", "J/B", 27.84e-12),
        ("814 mm2", "m2", 814e-6),
        ("1.98 GHz", "Hz", 1.98e9),
        ("12", "W", 12.0),
    ],
)
def test_a_quantity_is_read_in_si(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["fast", "", "3 TB", "3 parsec/s", "3 XB/s", "1e3e3 B/s", "GB/s"])
def test_what_is_no_such_quantity_is_refused(text):
    with pytest.raises(BadInput):
        parse(text, "B/s")


@given(st.floats(1e-12, 1e20))
def test_what_is_printed_reads_back_within_its_digits(value):
    assert parse(show(value, "B/s", digits=6), "B/s") == pytest.approx(value, rel=1e-5)


def test_printing_uses_the_prefix_that_people_would():
    assert [show(v, "s") for v in (0.0041, 2.5e-7, 1.0, 61)] == ["4.1 ms", "250 ns", "1 s", "61 s"]
    assert show(999.9, "B") == "1 kB"
    assert show(0.0, "B") == "0 B"


def test_the_unit_stands_in_the_name():
    assert unit_of("bandwidth_bytes_per_s") == "B/s"
    assert unit_of("latency_s") == "s"
    assert unit_of("clock_hz") == "Hz"
    assert unit_of("units") is None
