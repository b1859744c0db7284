"""The one door for speed: details by name, and models that do not fit."""

from __future__ import annotations

import pytest

from moesaic.base import BadInput
from moesaic.hardware import load as hardware
from moesaic.roofline import bound, operators
from moesaic.simulator import DETAILS, estimate
from moesaic.workload import Parallel, load, make_step

MODEL, SYSTEM = load.model("mixtral-8x7b"), hardware.system("dgx-h100")
STEP = make_step(MODEL, batch=4, context=100)


def test_the_detail_bound_is_the_roofline():
    split = Parallel(tp=2)
    table = operators(MODEL, STEP, SYSTEM, split)
    got = estimate(MODEL, STEP, SYSTEM, parallel=split)
    assert got.seconds == bound(table, SYSTEM).seconds
    assert got.evidence == "bound"
    assert "bound" in DETAILS


def test_a_detail_of_the_users_own_is_called(monkeypatch):
    monkeypatch.setitem(DETAILS, "mine", bound)
    split = Parallel(tp=2)
    got = estimate(MODEL, STEP, SYSTEM, parallel=split, detail="mine")
    assert got.seconds == estimate(MODEL, STEP, SYSTEM, parallel=split).seconds


def test_an_unknown_detail_is_refused_with_those_known():
    with pytest.raises(BadInput, match="no detail is called 'bond'; did you mean bound"):
        estimate(MODEL, STEP, SYSTEM, parallel=Parallel(tp=2), detail="bond")


def test_a_model_that_does_not_fit_is_refused_by_how_much():
    with pytest.raises(BadInput, match=r"needs 93\.5 GB .* holds 85\.9 GB: 7\.56 GB too much"):
        estimate(MODEL, STEP, SYSTEM)
    assert estimate(MODEL, STEP, SYSTEM, ignore_capacity=True).seconds > 0


# aiconfigurator 0.12 SOL and our bound: Mixtral-8x7B bf16, two H100, TP2, context 2048.
@pytest.mark.parametrize(
    ("asked", "peer_ms"),
    [
        ({"batch": 1, "context": 2048}, 3.85),
        ({"batch": 16, "context": 2048}, 14.6),
        ({"batch": 64, "context": 2048}, 16.7),
        ({"batch": 256, "context": 2048}, 25.0),
        ({"prefill": 2048}, 30.6),
    ],
)
def test_another_roofline_of_mixtral_lies_within_three_percent(asked, peer_ms):
    step = make_step(MODEL, **asked)
    got = estimate(MODEL, step, SYSTEM, parallel=Parallel(tp=2), ignore_capacity=True)
    assert got.seconds * 1e3 == pytest.approx(peer_ms, rel=0.03)
