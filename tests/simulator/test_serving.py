"""Is serving what its plain twin says, and does it keep what queues must keep?"""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, Evidence
from moesaic.simulator.serving import Priced, metrics, serve
from moesaic.simulator.serving.metrics import spread
from moesaic.simulator.serving.plain import serve_plain
from moesaic.simulator.serving.setting import setting
from moesaic.workload import Requests
from moesaic.workload.requests import drawn

INF = float("inf")


class Linear:
    """Seconds that grow with tokens and contexts; it counts how often it is asked."""

    evidence: Evidence = "simulated"

    def __init__(self, fixed=1e-2, token=1e-4, cached=1e-7):
        self.fixed, self.token, self.cached = fixed, token, cached
        self.calls = 0

    def decode(self, requests, contexts):
        self.calls += 1
        seconds = self.fixed + self.token * requests + self.cached * contexts
        return Priced(seconds=seconds, energy_j=100 * seconds)

    def mixed(self, requests, context, prompts):
        tokens = sum(now for now, _ in prompts)
        read = context + sum(now * (done + now / 2) for now, done in prompts)
        seconds = np.array([self.fixed + self.token * (requests + tokens) + self.cached * read])
        return Priced(seconds=seconds, energy_j=100 * seconds)


def requests_of(prompts, outputs, arrivals=None):
    return Requests(
        arrival_s=np.zeros(len(prompts)) if arrivals is None else np.asarray(arrivals, float),
        prompt_tokens=np.asarray(prompts, np.int64),
        output_tokens=np.asarray(outputs, np.int64),
    )


def of_pairs(lengths, arrivals):
    return requests_of([p for p, _ in lengths], [o for _, o in lengths], arrivals)


def gaps_of(served):
    found = metrics(served).tbt_s
    assert found is not None
    return found


def same(one, two):
    for name in one.__struct_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 20)), min_size=1, max_size=25)


@settings(deadline=None, max_examples=200)
@given(
    lengths=LENGTHS,
    gaps=st.lists(st.sampled_from([0.0, 0.003, 0.05, 2.0]), min_size=25, max_size=25),
    most=st.integers(1, 6),
    room=st.none() | st.integers(0, 60),
    scheduler=st.sampled_from(["continuous", "chunked"]),
    budget=st.integers(1, 20),
    closed=st.booleans(),
    stationary=st.booleans(),
    seed=st.integers(0, 5),
)
def test_a_walk_from_event_to_event_is_the_walk_stage_by_stage(
    lengths, gaps, most, room, scheduler, budget, closed, stationary, seed
):
    asked = of_pairs(lengths, np.cumsum(gaps[: len(lengths)]))
    words = {
        "most_requests": most,
        "kv_tokens": None if room is None else room + max(p + o for p, o in lengths),
        "scheduler": scheduler,
        "budget": budget,
        "closed": closed,
        "stationary": stationary and closed,
        "seed": seed,
    }
    same(serve(asked, Linear(), **words), serve_plain(setting(asked, **words), Linear()))


@settings(deadline=None, max_examples=100)
@given(lengths=LENGTHS, most=st.integers(1, 6), closed=st.booleans())
def test_every_token_is_made_once_and_time_goes_forward(lengths, most, closed):
    asked = of_pairs(lengths, np.linspace(0, 1, len(lengths)))
    served = serve(asked, Linear(), most_requests=most, closed=closed)
    assert served.tokens.sum() == asked.output_tokens.sum()
    assert served.prompt_tokens.sum() == asked.prompt_tokens.sum()
    assert served.first_tokens.sum() == asked.count
    assert (served.arrival_s <= served.start_s).all()
    assert (served.start_s < served.first_token_s).all()
    assert ((served.finish_s > served.first_token_s) == (asked.output_tokens > 1)).all()
    assert (np.diff(served.start_s) >= 0).all()  # first come, first served
    assert served.tokens.max() <= most
    assert (np.diff(served.stage_end_s) > 0).all()


def test_one_request_waits_for_its_prompt_and_then_for_each_token():
    served = serve(requests_of([100], [4], [7.0]), Linear(), most_requests=8)
    costs = Linear()
    prompt = costs.mixed(0, 0, ((100, 0),)).seconds
    gaps = costs.decode(1, np.array([100, 101, 102])).seconds
    assert served.stage_s == pytest.approx(np.concatenate([prompt, gaps]), rel=1e-15)
    assert served.first_token_s[0] == 7.0 + prompt[0]
    assert served.finish_s[0] == pytest.approx(7.0 + prompt.sum() + gaps.sum(), rel=1e-14)


def test_a_prompt_beside_decoding_requests_is_a_long_gap_for_each_of_them():
    asked = requests_of([10, 10, 5000], [50, 50, 5], [0, 0, 0.3])
    served = serve(asked, Linear(), most_requests=3)
    late = np.flatnonzero(served.mixed)[-1]
    assert served.decoding[late] == 2
    found = gaps_of(served)
    assert found.p99 == served.stage_s[late] > 10 * found.p50
    # The budget cuts the prompt into short stages: no gap is long, but the prompt takes longer.
    cut = serve(asked, Linear(), most_requests=3, scheduler="chunked", budget=258)
    assert gaps_of(cut).p99 < found.p99 / 5
    assert cut.first_token_s[2] > served.first_token_s[2]
    assert cut.prompt_tokens.max() == 256


def test_a_run_of_stages_without_an_event_is_priced_in_one_call():
    costs = Linear()
    served = serve(requests_of([8] * 4, [1000] * 4), costs, most_requests=4, closed=True)
    assert served.stage_s.size == 1000
    assert costs.calls == 1


def test_a_closed_loop_keeps_the_batch_full_and_matches_its_closed_form():
    asked = requests_of([16] * 400, [64] * 400)
    served = serve(asked, Linear(cached=0), most_requests=8, closed=True, stationary=True)
    steady = served.steady
    assert (served.tokens[steady] == 8).all()
    # derived: each stage computes 8 / 64 prompts on average; a stage costs fixed + token x tokens.
    stage = 1e-2 + 1e-4 * (8 * 63 / 64 + 16 * 8 / 64)
    assert metrics(served).tokens_per_s == pytest.approx(8 / stage, rel=0.01)
    assert (served.start_s == served.arrival_s).all()


def test_a_stationary_start_meets_requests_in_the_middle():
    asked = drawn(
        4000, prompt_mean=64, output_mean=200, spread=0.3, rate_per_s=INF, seed=1, shape="gaussian"
    )
    warm = serve(asked, Linear(), most_requests=64, closed=True, stationary=True)
    cold = serve(asked, Linear(), most_requests=64, closed=True)
    # Started together, the first ones end together: a burst of prompts. In the middle none is.
    per_stage = np.convolve(warm.prompt_tokens, np.ones(200), "valid")[:2000]
    assert per_stage.std() < 0.25 * per_stage.mean()
    first = metrics(warm).tokens_per_s
    late = warm.tokens[4000:8000].sum() / warm.stage_s[4000:8000].sum()
    assert first == pytest.approx(late, rel=0.01)
    assert cold.prompt_tokens[0] > 10 * warm.prompt_tokens[0]


def test_the_cache_limits_who_is_in_flight():
    asked = requests_of([10] * 30, [10] * 30)
    served = serve(asked, Linear(), most_requests=16, kv_tokens=79, closed=True)
    assert served.tokens.max() == 3
    assert served.full_stages == served.stage_s.size - 10  # the last three run together


def test_an_overloaded_server_queues_without_bound_and_an_idle_one_not_at_all():
    def waits(rate):
        asked = drawn(
            300, prompt_mean=64, output_mean=32, spread=0.2, rate_per_s=rate, seed=2,
            shape="gaussian",
        )  # fmt: skip
        served = serve(asked, Linear(), most_requests=4)
        return served.start_s - served.arrival_s

    idle, busy = waits(0.05), waits(1000)
    assert idle.max() < 0.02
    assert busy[-20:].mean() > 10 * busy[:20].mean()


def test_one_place_and_equal_requests_wait_as_queueing_theory_says():
    stage = Linear().mixed(0, 0, ((50, 0),)).seconds[0]
    busy = 0.7
    asked = drawn(
        20_000, prompt_mean=50, output_mean=1, spread=0, rate_per_s=busy / stage, seed=0,
        shape="gaussian",
    )  # fmt: skip
    served = serve(asked, Linear(), most_requests=1)
    # M/D/1 (Pollaczek-Khinchine): the mean wait is busy / (2 (1 - busy)) services.
    assert metrics(served).queueing_s.mean == pytest.approx(
        stage * busy / (2 * (1 - busy)), rel=0.05
    )


def test_gaps_and_moments_are_weighted_as_they_happen():
    found = spread(np.array([3.0, 1.0, 2.0]), np.array([1, 97, 2]))
    assert (found.p50, found.p90, found.p99) == (1.0, 1.0, 2.0)
    assert found.mean == pytest.approx((3 + 97 + 4) / 100)
    served = serve(requests_of([10], [1]), Linear(), most_requests=1)
    assert metrics(served).tbt_s is None
    assert metrics(served).energy_j_per_token == pytest.approx(100 * served.stage_s[0])


def test_long_outputs_are_fast():
    asked = requests_of([64] * 100, list(range(4000, 4100)))
    begin = time.process_time()
    served = serve(asked, Linear(), most_requests=4, closed=True, stationary=True)
    assert served.stage_s.size > 100_000
    assert time.process_time() - begin < 1.0


class Odd(Linear):
    def __init__(self, seconds, energy=0.0):
        super().__init__()
        self.answer = Priced(seconds=np.array([seconds]), energy_j=np.array([energy]))

    def mixed(self, requests, context, prompts):
        return self.answer


@pytest.mark.parametrize(
    ("costs", "words", "says"),
    [
        (Linear(), {"most_requests": 0}, "most_requests: must be at least 1"),
        (Linear(), {"budget": 0}, "budget: must be at least 1"),
        (Linear(), {"kv_tokens": 10}, "request 1 needs 14 cached tokens .*: 4 more"),
        (Linear(), {"scheduler": "chuncked"}, "did you mean chunked"),
        (Linear(), {"scheduler": lambda d, left, b: ()}, "gave .* of prompts"),
        (Linear(), {"scheduler": lambda d, left, b: (0,) * len(left)}, "no token"),
        (Linear(), {"stationary": True}, "closed loop"),
        (Odd(float("nan")), {}, "positive, finite"),
        (Odd(0.0), {}, "positive, finite"),
        (Odd(1.0, -1.0), {}, "not negative"),
    ],
)
def test_bad_input_is_one_sentence(costs, words, says):
    asked = requests_of([5, 6], [7, 8])
    with pytest.raises(BadInput, match=says):
        serve(asked, costs, **{"most_requests": 2, **words})
