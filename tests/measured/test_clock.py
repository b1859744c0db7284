"""A time is the median of repeats, taken after a warm-up and within a budget."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.measured.clock import summary, time_s


def test_the_calls_are_the_warm_up_and_the_repeats():
    calls = []
    timing = time_s(lambda: calls.append(1), warmup=2, repeats=5)
    assert len(calls) == 7
    assert timing.repeats == 5


def test_a_spent_budget_ends_the_repeats_but_not_before_the_least():
    calls = []
    timing = time_s(lambda: calls.append(1), warmup=1, repeats=100, least=3, budget_s=0.0)
    assert (len(calls), timing.repeats) == (4, 3)


@given(taken=st.lists(st.integers(1, 10**12), min_size=1, max_size=30))
def test_the_median_and_the_spread_are_those_of_the_repeats(taken):
    timing = summary(taken)
    assert timing.median_s == pytest.approx(statistics.median(taken) / 1e9)
    assert timing.repeats == len(taken)
    assert timing.spread >= 0
    assert summary([taken[0]] * 4).spread == 0


def test_the_spread_is_the_interquartile_range_over_the_median():
    assert summary([100, 200, 300, 400, 500]).spread == pytest.approx(200 / 300)


@pytest.mark.parametrize("wrong", [{"warmup": -1}, {"repeats": 0}, {"least": 0}, {"repeats": 2}])
def test_impossible_repeats_are_refused(wrong):
    with pytest.raises(BadInput):
        time_s(lambda: None, **wrong)
