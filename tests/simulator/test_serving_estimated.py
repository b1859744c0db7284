"""Are stages of a serving study priced as `estimate` prices a step?"""

from __future__ import annotations

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.hardware.load import system
from moesaic.simulator import estimate
from moesaic.simulator.serving.estimated import EstimatedCosts, cache_room
from moesaic.workload import Parallel, make_step
from moesaic.workload.load import model
from moesaic.workload.requests import drawn

SPLITS = [
    ("mixtral-8x7b", "duplex-4", Parallel(tp=4)),
    ("glam-64b-64e", "duplex-8", Parallel(tp=8, ep=8)),
    ("deepseek-v3", "two-node-h100", Parallel(dp=16, ep=16)),
    ("gpt-oss-20b", "h100-4", Parallel(tp=4)),
]


def asked():
    return drawn(
        9, prompt_mean=1024, output_mean=1024, spread=0.1, rate_per_s=1, seed=0, shape="gaussian"
    )


@pytest.mark.parametrize(("name", "on", "split"), SPLITS)
def test_a_stage_costs_what_the_whole_model_does_in_one_step(name, on, split):
    shaped, machine = model(name), system(on)
    costs = EstimatedCosts(shaped, machine, split)
    priced = costs.decode(32, np.array([32 * 1000, 32 * 2048]))
    steps = [make_step(shaped, batch=32, context=context) for context in (1000, 2048)]
    wanted = [estimate(shaped, s, machine, parallel=split, ignore_capacity=True) for s in steps]
    assert priced.seconds == pytest.approx([w.seconds for w in wanted], rel=1e-4)
    assert priced.seconds[1] == pytest.approx(wanted[1].seconds, rel=1e-9)  # a knot
    if wanted[0].energy_j is None:
        assert np.isnan(priced.energy_j).all()
    else:
        assert priced.energy_j == pytest.approx([w.energy_j or 0 for w in wanted], rel=1e-4)
    prompt = make_step(shaped, batch=16, context=500, prefill=300)
    mixed = costs.mixed(16, 16 * 500, ((300, 0),))
    found = estimate(shaped, prompt, machine, parallel=split, ignore_capacity=True)
    assert mixed.seconds[0] == pytest.approx(found.seconds, rel=1e-9)


def test_equal_questions_get_equal_answers_in_any_pieces():
    costs = EstimatedCosts(model("olmoe-1b-7b"), system("duplex"), Parallel())
    again = EstimatedCosts(model("olmoe-1b-7b"), system("duplex"), Parallel())
    contexts = 7 * np.arange(3000, dtype=np.int64)
    whole = costs.decode(7, contexts)
    pieces = [again.decode(7, part) for part in np.array_split(contexts[::-1], 11)]
    assert (whole.seconds[::-1] == np.concatenate([p.seconds for p in pieces])).all()
    assert (np.diff(whole.seconds) > 0).all()


def test_contexts_that_do_not_divide_are_spread_over_requests():
    shaped, machine = model("olmoe-1b-7b"), system("h100-sxm")
    costs = EstimatedCosts(shaped, machine, Parallel())
    three = costs.decode(2, np.array([1000, 1001, 1002])).seconds
    assert three[1] == pytest.approx((three[0] + three[2]) / 2, rel=1e-12)


def test_the_room_of_the_cache_is_what_weights_and_activations_leave():
    shaped, machine = model("mixtral-8x7b"), system("duplex-4")
    room = cache_room(shaped, machine, Parallel(tp=4), asked(), 32)
    full, over = (
        make_step(shaped, batch=32, context=context) for context in (room // 33, room // 31)
    )
    estimate(shaped, full, machine, parallel=Parallel(tp=4))
    with pytest.raises(BadInput, match="too much"):
        estimate(shaped, over, machine, parallel=Parallel(tp=4))


def test_weights_that_do_not_fit_and_encoders_are_refused():
    with pytest.raises(BadInput, match="too much"):
        cache_room(model("mixtral-8x7b"), system("duplex"), Parallel(), asked(), 1)
    with pytest.raises(BadInput, match="encoder"):
        EstimatedCosts(model("nllb-moe-54b"), system("duplex"), Parallel())
