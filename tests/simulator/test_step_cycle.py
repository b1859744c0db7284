"""Detail 'cycle': is it the roofline where nothing is shared or lost, and does sharing help?"""

from __future__ import annotations

import itertools
import json

import msgspec
import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware.load import system
from moesaic.roofline import Efficiency, bound, operators
from moesaic.roofline.shapes import Routed
from moesaic.simulator import estimate
from moesaic.simulator.serving.cycle_costs import CycleCosts
from moesaic.simulator.serving.stages import Stages
from moesaic.simulator.step.cycle import cycle
from moesaic.simulator.step.expert_layer import ExpertLayer, draws_of
from moesaic.simulator.step.pair import pair_of, slowed
from moesaic.simulator.step.policies import POLICIES
from moesaic.simulator.step.rates import Rates, memory_rates
from moesaic.workload import Parallel, make_step
from moesaic.workload.drawn import drawn_loads
from moesaic.workload.load import model
from moesaic.workload.routed_step import step_from_trace
from moesaic.workload.synthetic import uniform

PEAK = Rates(share=Efficiency())
LOSSY = Rates(share=Efficiency(weights=0.9, kv=0.9), pim_weights=0.7, pim_kv=0.9, beside=0.6)
SPLIT = Parallel(tp=4)


@pytest.fixture(scope="module")
def mixtral():
    return model("mixtral-8x7b")


@pytest.fixture(scope="module")
def duplex():
    return system("duplex-4")


@pytest.fixture(scope="module")
def table(mixtral, duplex):
    step = make_step(mixtral, batch=64, context=2048, prefill=300)
    return operators(mixtral, step, duplex, SPLIT)


def layer(mixtral, duplex, units, rates=LOSSY):
    pair = pair_of(duplex.devices[0], rates)
    return ExpertLayer.of_model(mixtral, pair, POLICIES[units], expert_tp=4)


def loads_of(tokens, draws=40):
    return drawn_loads(np.full(8, 2 / 8), 2, tokens, draws, seed=3).astype(float)


def test_an_xpu_alone_at_its_peaks_is_the_roofline_of_its_memory_bound_parts(mixtral):
    machine = system("h100-4")
    trace = uniform(8, 2, 24, 32, seed=1)
    step = step_from_trace(mixtral, trace, np.arange(24), context=1500)
    table = operators(mixtral, step, machine, SPLIT)
    found = cycle(table, machine, PEAK, units="xpu")
    assert found.seconds == pytest.approx(bound(table, machine).seconds, rel=2e-3)
    assert found.energy_j == pytest.approx(bound(table, machine).energy_j, rel=1e-9)


@pytest.mark.parametrize("units", POLICIES)
def test_the_reasons_sum_to_the_seconds(table, duplex, units):
    found = cycle(table, duplex, LOSSY, units=units)
    assert sum(found.why.values()) == pytest.approx(found.seconds)
    assert all(seconds > 0 for seconds in found.why.values())
    assert found.evidence == "simulated"


@pytest.mark.parametrize("tokens", [2, 16, 64, 256, 2048])
def test_each_freedom_to_share_makes_a_layer_no_slower(mixtral, duplex, tokens):
    free = msgspec.structs.replace(LOSSY, beside=1.0)
    seconds = [
        layer(mixtral, duplex, units, free).times(loads_of(tokens)).seconds
        for units in ("exact", "rule", "one-unit", "xpu")
    ]
    for quicker, slower in itertools.pairwise(seconds):
        assert (quicker <= slower * (1 + 1e-12)).all()


@pytest.mark.parametrize("units", ["spaces", "rule"])
def test_units_that_slow_each_other_are_no_worse_than_one_alone(mixtral, duplex, units):
    for tokens in (8, 64, 512):
        shared = layer(mixtral, duplex, units).times(loads_of(tokens)).seconds
        alone = layer(mixtral, duplex, "one-unit").times(loads_of(tokens)).seconds
        assert (shared <= alone * (1 + 1e-12)).all()


@pytest.mark.parametrize("tokens", [48, 64, 128])
def test_what_is_shared_is_judged_by_how_long_it_really_takes(mixtral, duplex, tokens):
    seconds = {
        units: layer(mixtral, duplex, units).times(loads_of(tokens)).seconds.mean()
        for units in ("exact", "rule", "one-unit")
    }
    free = msgspec.structs.replace(LOSSY, beside=1.0)
    least = layer(mixtral, duplex, "exact", free).times(loads_of(tokens)).seconds.mean()
    assert least <= min(seconds.values())
    assert max(seconds["exact"], seconds["rule"]) <= seconds["one-unit"]
    assert seconds["exact"] <= 1.03 * seconds["rule"]


def test_few_tokens_are_drawn_more_often_and_very_many_not_at_all():
    assert draws_of(1, 8) == 1024
    assert draws_of(512, 8) == 64
    assert draws_of(3_000_000, 64) == 0


def test_a_machine_of_two_kinds_of_pim_is_refused(mixtral, duplex):
    bank = system("bank-pim-4").devices[0]
    mixed = msgspec.structs.replace(duplex, devices=(*duplex.devices[:2], bank, bank))
    with pytest.raises(BadInput, match="devices of several kinds"):
        memory_rates(mixed, mixtral, Efficiency())


def test_an_xpu_alone_asks_nothing_of_its_pim(mixtral, duplex):
    bare = msgspec.structs.replace(duplex.devices[0], gang=None)
    machine = msgspec.structs.replace(duplex, devices=(bare,) * 4)
    assert memory_rates(machine, mixtral, Efficiency(), alone=True).share == Efficiency()
    with pytest.raises(BadInput, match="names no `gang`"):
        memory_rates(machine, mixtral, Efficiency())


def test_more_bandwidth_of_the_pim_is_never_slower(mixtral, duplex):
    slow, fast = (
        layer(mixtral, duplex, "exact", msgspec.structs.replace(PEAK, pim_weights=share))
        for share in (0.6, 0.9)
    )
    assert (fast.times(loads_of(48)).seconds <= slow.times(loads_of(48)).seconds).all()


def test_a_layers_reasons_and_its_slowest_rank_agree(mixtral, duplex):
    step = make_step(mixtral, batch=40)
    spread = operators(mixtral, step, duplex, Parallel(tp=4, ep=4))
    shape = next(op.shape for op in spread.operators if op.name == "experts.gate_up")
    assert isinstance(shape, Routed)
    one = ExpertLayer.of(shape, "bf16", pair_of(duplex.devices[0], LOSSY), POLICIES["rule"])
    times = one.times(loads_of(40))
    assert times.ranks_s.shape == (40, 4)
    assert (times.seconds == times.ranks_s.max(axis=1)).all()
    assert sum(times.why.values()) == pytest.approx(times.seconds.mean())
    assert times.why["imbalance"] > 0


def test_a_slowed_unit_is_stretched_until_the_other_is_done():
    assert slowed(np.array([6.0]), np.array([20.0]), 0.6) == pytest.approx(4.0)  # all of it: 10
    assert slowed(np.array([6.0]), np.array([5.0]), 0.6) == pytest.approx(2.0)  # 3 in 5, then 3
    assert slowed(np.array([6.0]), np.array([np.inf]), 1.0) == 0.0


def test_prompts_and_decoding_requests_are_attended_to_at_a_time_or_in_turn(mixtral, duplex):
    step = make_step(mixtral, batch=64, context=8192, prefill=4096)
    table = operators(mixtral, step, duplex, SPLIT)
    beside, turns = (cycle(table, duplex, PEAK, units=units) for units in ("rule", "one-unit"))
    assert beside.by_part()["attention"] < turns.by_part()["attention"]


class TestStages:
    """Serving asks for thousands of stages: the quick way gives what `cycle` does."""

    @pytest.mark.parametrize("units", ["xpu", "one-unit", "rule"])
    @pytest.mark.parametrize(
        ("name", "on"), [("mixtral-8x7b", "duplex-4"), ("olmoe-1b-7b", "duplex")]
    )
    def test_stages_are_steps_at_detail_cycle(self, name, on, units):
        asked, machine = model(name), system(on)
        split = Parallel(tp=len(machine.devices))
        costs = CycleCosts(asked, machine, split, LOSSY, units=units)
        for prompts, context in (((), 700), (((300, 0),), 5000)):
            step = make_step(asked, batch=32, context=context, prefill=sum(n for n, _ in prompts))
            whole = cycle(operators(asked, step, machine, split), machine, LOSSY, units=units)
            stages = [costs.mixed(32, 32 * context + i, prompts) for i in range(200)]
            # Each side draws 64 batches of its own: the means differ by the spread over 8.
            assert np.mean([s.seconds for s in stages]) == pytest.approx(whole.seconds, rel=5e-3)
            assert np.mean([s.energy_j for s in stages]) == pytest.approx(whole.energy_j, rel=1e-2)

    def test_equal_questions_get_equal_answers_in_any_pieces(self, mixtral, duplex):
        costs = CycleCosts(mixtral, duplex, SPLIT, LOSSY)
        contexts = np.arange(16000, 16000 + 32 * 50, 32)
        whole = costs.decode(32, contexts)
        pieces = [costs.decode(32, part) for part in np.split(contexts, [7, 30])]
        assert (np.concatenate([p.seconds for p in pieces]) == whole.seconds).all()
        assert np.ptp(whole.seconds) > 0

    def test_a_last_prompt_token_is_as_a_decoded_one(self, mixtral, duplex):
        costs = CycleCosts(mixtral, duplex, SPLIT, LOSSY)
        decoded = costs.decode(5, np.array([4 * 100 + 511]))
        assert costs.mixed(4, 400, ((1, 511),)).seconds == decoded.seconds

    def test_machines_that_differ_in_their_pim_share_what_was_built(self, mixtral, duplex):
        stages = Stages(mixtral, duplex, SPLIT, LOSSY.share)
        for units in ("xpu", "rule"):
            made = CycleCosts(mixtral, duplex, SPLIT, LOSSY, units=units, stages=stages)
            fresh = CycleCosts(mixtral, duplex, SPLIT, LOSSY, units=units)
            assert made.mixed(8, 800, ()).seconds == fresh.mixed(8, 800, ()).seconds


class TestAsked:
    """From Python and the command line, good words and bad."""

    def test_the_memory_core_is_asked_for_the_rates(self, mixtral, duplex):
        found = estimate(
            mixtral, make_step(mixtral, batch=8, context=99), duplex, parallel=SPLIT, detail="cycle"
        )
        lossless = cycle(found.table, duplex, PEAK)
        assert 1.02 * lossless.seconds < found.seconds < 1.6 * lossless.seconds

    def test_without_degrees_the_whole_machine_works(self, capsys):
        words = ["estimate", "mixtral-8x7b", "--on", "duplex-4", "--batch", "32"]
        assert main([*words, "--context", "2048", "--detail", "cycle", "--why", "--json"]) == 0
        heard = capsys.readouterr()
        assert "--tp 4 --dp 1 --ep 1" in heard.err
        (found,) = json.loads(heard.out)
        assert any("of the PIM" in reason for reason in found["why"])

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--on", "duplex-4", "--units", "rule"], "goes with --detail cycle"),
            (["--on", "duplex-4", "--detail", "cycle", "--units", "both"], "--units"),
            (["--on", "samsung-hbm-pim", "--detail", "cycle"], "samsung-hbm-pim"),
            (["--on", "duplex", "--detail", "cycle"], "7.51 GB too much"),
            (["--on", "duplex-4", "--detail", "cycles"], "--detail"),
        ],
    )
    def test_bad_words_are_one_sentence(self, capsys, words, says):
        assert main(["estimate", "mixtral-8x7b", "--batch", "4", *words]) == 2
        heard = capsys.readouterr().err.strip().splitlines()
        assert says in heard[-1]
        assert "Traceback" not in "".join(heard)

    def test_a_pim_without_a_host_is_refused(self, mixtral, duplex):
        alone = msgspec.structs.replace(duplex.devices[0], host=None)
        machine = msgspec.structs.replace(duplex, devices=(alone,) * 4)
        step = make_step(mixtral, batch=4)
        with pytest.raises(BadInput, match="has no `host`"):
            estimate(
                mixtral, step, machine, parallel=SPLIT, detail="cycle", efficiency=Efficiency()
            )
