"""Are published numbers and ours held beside each other as they should be?"""

import json

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.hardware.load import system
from moesaic.placement import Problem, solve
from moesaic.placement.seconds import prompt_steps, stay_seconds, step_seconds
from moesaic.sweeps.papers import PAPERS, Claim, claims_section
from moesaic.sweeps.papers.claim import table
from moesaic.sweeps.papers.exflow import MIXTRAL_HOPS, gpt_moe, machine
from moesaic.sweeps.papers.moetuner import AFFINITY, machines
from moesaic.sweeps.papers.question import as_prompts
from moesaic.workload import ExpertMap, RoutingTrace
from moesaic.workload.synthetic import topical, uniform


def claim(published, ours, **more):
    return Claim(paper="P", metric="m", unit="%", published=published, ours=ours, **more)


@pytest.mark.parametrize(
    ("ours", "status"),
    [
        (0.115, "reproduced"),
        (0.086, "reproduced"),
        (0.13, "shape only"),
        (0.034, "shape only"),
        (0.033, "not reproduced"),
        (0.31, "not reproduced"),
        (-0.1, "not reproduced"),
        (None, "not reproduced"),
    ],
)
def test_a_claim_is_judged_by_its_error_and_then_by_its_effect(ours, status):
    assert claim(0.1, ours).status == status


def test_the_effect_of_a_speed_up_is_what_it_is_above_one():
    assert claim(2.0, 1.5, neutral=1.0).status == "shape only"
    assert claim(2.0, 1.1, neutral=1.0).status == "not reproduced"
    assert claim(2.0, 0.5, neutral=1.0).error == -0.75


def test_a_fitted_claim_says_so_and_assumptions_are_told_once():
    twice = [claim(0.1, 0.1, fitted=True, assumptions=("a", "b")), claim(0.1, None)]
    assert [row[5] for row in table(twice).rows] == ["reproduced (fitted)", "not reproduced"]
    section = claims_section("s", "S", [*twice, *twice])
    assert section.words == ("Assumed: a; b.",)
    assert section.evidence == ("measured-published", "simulated")


def test_tokens_that_stay_are_priced_as_counted_one_by_one():
    two, model, ranks = machines()["2 nodes"], gpt_moe(8), 4
    trace = topical(8, 1, 500, 3, 2.0, 1)
    placed = solve(Problem.of(trace, ranks), "round-robin").expert_map
    home = np.zeros((3, 8), int)
    for row in range(3):
        home[row, placed.slots[row]] = placed.ranks
    at = home[np.arange(3), trace.expert_ids[:, :, 0]]
    expected = np.zeros((2, ranks))
    for pair in range(2):
        for rank in range(ranks):
            times = []
            for t, tier in enumerate(two.tiers):
                out = into = 0
                for here, there in at[:, pair : pair + 2]:
                    crossed = int(here // 2 != there // 2)  # two ranks of four devices a node
                    if here != there and crossed == t:
                        out, into = out + (here == rank), into + (there == rank)
                # four devices of a rank send a share of fp16 rows each
                times.append(max(out, into) * 1024 * 2 / 4 / tier.link.bandwidth_bytes_per_s)
            expected[pair, rank] = max(times) + two.tiers[-1].link.latency_s
    found = stay_seconds(placed, trace.expert_ids, model, two)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_token_that_never_hops_pays_the_latency_alone():
    layers = tuple(range(4))
    same = RoutingTrace(
        expert_ids=np.tile(np.arange(8, dtype=np.int16)[:, None, None], (1, 4, 1)),
        experts=8,
        layers=layers,
    )
    slots = np.tile(np.arange(8, dtype=np.int32), (4, 1))
    ranks = np.repeat(np.arange(4, dtype=np.int32), 2)
    placed = ExpertMap(slots=slots, ranks=ranks, layers=layers, experts=8)
    node = system("dgx-h100")
    found = stay_seconds(placed, same.expert_ids, gpt_moe(8), node)
    assert (found == node.tiers[0].link.latency_s).all()


def test_only_the_exchange_differs_between_the_styles():
    model, node = gpt_moe(8), machine(8)
    trace = as_prompts(uniform(8, 1, 256, 24, 0), 64)
    steps = prompt_steps(model, trace, 2, 1, 0)
    assert steps[0].prefill_tokens == 128
    placed = solve(Problem.of(trace, 8), "contiguous").expert_map
    found = step_seconds(placed, model, steps, node)
    assert found.stay_step_s is not None
    assert found.stay_link_s is not None
    assert found.stay_mean_link_s is not None
    assert found.stay_step_s - found.stay_link_s == pytest.approx(found.step_s - found.link_s)
    assert 0 < found.mean_link_s <= found.link_s
    assert 0 < found.stay_mean_link_s <= found.stay_link_s


def test_prompts_are_asked_for_within_what_is_there():
    trace = uniform(8, 1, 256, 24, 0)
    with pytest.raises(BadInput, match="0 requests at hand"):
        prompt_steps(gpt_moe(8), trace, 1, 1, 0)
    with pytest.raises(BadInput, match="4 requests at hand"):
        prompt_steps(gpt_moe(8), as_prompts(trace, 64), 5, 1, 0)


def test_one_affinity_keeps_as_many_steps_as_both_published_mixtral_maps():
    trace = topical(8, 1, 8000, 32, AFFINITY, 0)
    for gpus, method in ((4, "exact"), (8, "two-stage")):
        hops = solve(Problem.of(trace, gpus), method).scores["hops"]
        # Top-1 of a top-2 draw is a top-1 draw: the race is the same.
        assert 31 * hops == pytest.approx(MIXTRAL_HOPS[gpus], rel=0.02)


@pytest.mark.parametrize(
    "paper",
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "duplex")) for name in PAPERS],
)
def test_a_small_run_gives_claims_with_their_reasons(paper, capsys):
    assert main(["reproduce", paper, "--small", "--json"]) == 0
    claims = json.loads(capsys.readouterr().out)
    assert len(claims) >= 6
    for one in claims:
        # Duplex printed what it simulated itself.
        theirs = "simulated" if paper == "duplex" else "measured-published"
        assert one["published_evidence"] == theirs
        assert one["ours_evidence"] == "simulated"
        assert one["reason"] or one["status"] == "reproduced"
        if one["ours"] is not None:
            assert one["error"] == pytest.approx(one["ours"] / one["published"] - 1)


def test_a_report_is_written_with_its_pictures(tmp_path, capsys):
    assert main(["reproduce", "llep", "--out", str(tmp_path / "out")]) == 0
    assert "published beside ours" in capsys.readouterr().out
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "report.md", "results.json", "llep.png", "llep-fitted.png"} == files


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["moetunr"], "moetuner"),
        (["llep", "--part", "x"], "goes with --popularity"),
        (["moetuner", "--popularity", "olmoe"], "32 layers of 8 experts"),
        (["llep", "--popularity", "olmoe"], "goes with moetuner"),
        (["duplex", "--out", __file__], "is no folder"),
    ],
)
def test_unusable_words_are_one_line(words, said, capsys, request):
    data = request.config.rootpath / "examples" / "data" / "olmoe_repo_counts.npz"
    if words[-1] == "olmoe":
        words = [*words[:-1], str(data), "--part", "olmoe1b7b"]
    assert main(["reproduce", *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
