"""Are requests drawn with the asked means, and read from a table?"""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import Requests, requests

CSV = "arrival_s,prompt_tokens,output_tokens\n0.5,10,3\n0.25,7,1\n"


@pytest.mark.parametrize("shape", requests.SHAPES)
def test_lengths_and_rate_are_as_asked(shape):
    made = requests.drawn(
        50_000, prompt_mean=900, output_mean=120, spread=0.3, rate_per_s=4, seed=1, shape=shape
    )
    assert made.prompt_tokens.mean() == pytest.approx(900, rel=0.01)
    assert made.output_tokens.mean() == pytest.approx(120, rel=0.01)
    assert made.prompt_tokens.std() == pytest.approx(270, rel=0.02)
    assert made.count / made.arrival_s[-1] == pytest.approx(4, rel=0.02)


def test_the_same_seed_gives_the_same_requests_and_no_rate_means_at_once():
    at_once = float("inf")
    first, again = (
        requests.drawn(20, prompt_mean=9, output_mean=5, spread=1, rate_per_s=at_once, seed=3)
        for _ in range(2)
    )
    assert (first.prompt_tokens == again.prompt_tokens).all()
    assert not first.arrival_s.any()
    assert first.output_tokens.min() >= 1


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"prompt_mean": 0}, {"output_mean": float("nan")}, {"spread": -1},
     {"rate_per_s": 0}, {"shape": "square"}],
)  # fmt: skip
def test_impossible_requests_are_refused(change):
    words = {"count": 5, "prompt_mean": 9, "output_mean": 9, "spread": 0, "rate_per_s": 1}
    with pytest.raises(BadInput):
        requests.drawn(**(words | change), seed=0)


def test_a_table_is_read_in_order_of_arrival(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(CSV)
    made = requests.read_csv(path)
    assert made.arrival_s.tolist() == [0.25, 0.5]
    assert made.prompt_tokens.tolist() == [7, 10]


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", CSV + "x,1,1\n", CSV + "1,0,1\n", CSV + "nan,1,1\n", CSV + "1,1\n",
     CSV + "1,1e300,1\n", CSV.splitlines()[0]],
)  # fmt: skip
def test_impossible_tables_are_refused(tmp_path, text):
    path = tmp_path / "r.csv"
    path.write_text(text)
    with pytest.raises(BadInput) as fault:
        requests.read_csv(path)
    assert "r.csv" in str(fault.value) or fault.value.key


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(CSV)))
def test_any_text_is_requests_or_one_sentence(tmp_path_factory, junk, place):
    path = tmp_path_factory.getbasetemp() / "junk.csv"
    path.write_bytes(CSV.encode()[:place] + junk)
    with contextlib.suppress(BadInput):
        assert requests.read_csv(path).count >= 1


def test_columns_must_fit_each_other():
    with pytest.raises(BadInput, match="ascending"):
        Requests(
            arrival_s=np.array([1.0, 0.0]),
            prompt_tokens=np.array([1, 1]),
            output_tokens=np.array([1, 1]),
        )
    with pytest.raises(BadInput, match="whole numbers"):
        Requests(
            arrival_s=np.array([1.0]), prompt_tokens=np.array([0]), output_tokens=np.array([1])
        )
