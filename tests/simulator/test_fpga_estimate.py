"""Designs on boards: brackets against boards and loop models, what moves them, what is refused."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.cli import fpga as command
from moesaic.hardware import Fpga
from moesaic.hardware.load import device
from moesaic.simulator.fpga import DESIGNS, PUBLISHED, EdgeMoe, UbiMoe, design, estimate, published
from moesaic.workload.load import model


def board(name: str) -> Fpga:
    found = device(name)
    assert isinstance(found, Fpga)
    return found


TINY, ZCU102 = model("m3vit-tiny"), board("zcu102")
RECORDED = [9, 30, 10, 2, 13, 13, 21, 3, 9, 18, 27, 4, 10, 22, 55, 12]
"""Queues of a MoE layer when Edge-MoE's HLS C++ ran with random weights, 129 tokens."""


def cycles(bracket, name):
    return sum(term.cycles for term in bracket.terms if term.name == name)


@pytest.mark.parametrize(
    ("tokens", "full_overlap_ms", "no_overlap_ms", "attention", "linears"),
    [(129, 17.8, 21.8, 0.46, 0.50), (197, 33.7, 37.9, 0.56, 0.40)],
)
def test_edge_moe_agrees_with_an_earlier_sum_of_its_loops(
    tokens, full_overlap_ms, no_overlap_ms, attention, linears
):
    """That sum has some 0.2-0.5 ms more, of loops that are not named in it."""
    bracket = estimate(EdgeMoe(), TINY, tokens, ZCU102)
    assert bracket.full_overlap_s * 1e3 == pytest.approx(full_overlap_ms, rel=0.015)
    assert bracket.no_overlap_s * 1e3 == pytest.approx(no_overlap_ms, rel=0.015)
    whole = bracket.full_overlap_s * bracket.clock_hz
    streams = cycles(bracket, "QK^T") + cycles(bracket, "AV")
    products = sum(cycles(bracket, n) for n in ("attention linears", "dense blocks", "experts"))
    assert streams / whole == pytest.approx(attention, abs=0.01)
    assert products / whole == pytest.approx(linears, abs=0.015)


def test_edge_moes_terms_by_hand():
    bracket = estimate(EdgeMoe(), TINY, 129, ZCU102)
    assert cycles(bracket, "QK^T") == 12 * 102_168
    assert cycles(bracket, "attention linears") == 12 * 4 * 129 * 12 * 12
    assert cycles(bracket, "dense blocks") == 6 * 2 * 129 * 12 * 48
    assert cycles(bracket, "experts") == 6 * 2 * 258 * 12 * 24
    assert cycles(bracket, "expert weight loads") == 6 * 16 * (384 * 12 + 192 * 24)
    assert cycles(bracket, "gate") == 6 * 129 * (24 + 3 * 16 + 16)


def test_ubimoe_in_sequence_agrees_with_an_earlier_sum_of_its_loops():
    """17.0 ms at 197 tokens: attention fused, experts by the published schedule, the rest shown."""
    bracket = estimate(UbiMoe(), TINY, 197, ZCU102)
    shown = cycles(bracket, "weight loads") + cycles(bracket, "gate")
    assert bracket.full_overlap_s + shown / 300e6 == pytest.approx(17.0e-3, rel=0.005)


@pytest.mark.parametrize("name", DESIGNS)
def test_boards_lie_inside_the_bracket_at_197_tokens_and_above_it_at_129(name):
    for tokens, inside in ((197, True), (129, False)):
        bracket = estimate(design(name), TINY, tokens, ZCU102)
        measured_s = PUBLISHED[name].latency_s
        assert measured_s > bracket.full_overlap_s
        assert (measured_s < bracket.no_overlap_s) == inside


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("tokens", [129, 197])
def test_terms_add_up_to_both_ends(name, tokens):
    bracket = estimate(design(name), TINY, tokens, ZCU102)
    names = [(term.name, term.hidden) for term in bracket.terms]
    assert len(set(names)) == len(names)
    assert sum(t.cycles for t in bracket.terms) == pytest.approx(bracket.no_overlap_s * 300e6)
    hidden = sum(t.cycles for t in bracket.terms if t.hidden) / 300e6
    assert bracket.full_overlap_s + hidden == pytest.approx(bracket.no_overlap_s)
    assert all(term.cycles > 0 for term in bracket.terms)


@given(tokens=st.integers(2, 400), name=st.sampled_from(sorted(DESIGNS)))
def test_more_tokens_never_take_less(tokens, name):
    less, more = (estimate(design(name), TINY, t, ZCU102) for t in (tokens, tokens + 4))
    assert less.full_overlap_s <= more.full_overlap_s
    assert less.no_overlap_s <= more.no_overlap_s


@given(st.permutations(range(16)))
def test_uneven_queues_cost_what_padding_and_waiting_add(order):
    queues = np.tile(np.array(RECORDED)[order], (6, 1))
    for each in (EdgeMoe(), UbiMoe()):
        even, uneven = (estimate(each, TINY, 129, ZCU102, queues=q) for q in (None, queues))
        padded = 6 * sum(-(-t // each.linear_units) for t in RECORDED) * 2 * 12 * 24
        assert cycles(uneven, "experts") == padded
        assert cycles(uneven, "QK^T") == cycles(even, "QK^T")
        # With one token at a time there is no padding: waiting is all that uneven queues add.
        if each.linear_units == 1:
            waited = cycles(uneven, "waiting for expert weights") / 300e6
            assert uneven.full_overlap_s == pytest.approx(even.full_overlap_s + waited)
            assert waited > 0
        assert cycles(uneven, "expert weight loads") + cycles(
            uneven, "waiting for expert weights"
        ) == 6 * 16 * (384 * 12 + 192 * 24)


def test_an_expert_without_tokens_loads_no_weights():
    queues = np.zeros((6, 16), int)
    queues[:, :2] = 129
    bracket = estimate(EdgeMoe(), TINY, 129, ZCU102, queues=queues)
    assert cycles(bracket, "expert weight loads") == 6 * 2 * (384 * 12 + 192 * 24)


def test_a_slow_memory_stretches_loads_and_streams_only():
    memory = msgspec.structs.replace(ZCU102.memory, bandwidth_bytes_per_s=4.8e9)
    slow = estimate(EdgeMoe(), TINY, 197, msgspec.structs.replace(ZCU102, memory=memory))
    fast = estimate(EdgeMoe(), TINY, 197, ZCU102)
    # A port of 32 bytes at 300 MHz asks for 9.6 GB/s.
    for name, factor in (("QK^T", 2), ("gate", 1), ("dense blocks", 1)):
        assert cycles(slow, name) == factor * cycles(fast, name)
    assert slow.no_overlap_s > fast.no_overlap_s


def test_half_the_clock_takes_twice_the_time():
    whole, half = (estimate(EdgeMoe(), TINY, 129, ZCU102, hz) for hz in (300e6, 150e6))
    assert half.full_overlap_s == pytest.approx(2 * whole.full_overlap_s)


def test_the_products_fit_the_published_dsp():
    assert design("ubimoe").dsp == 1536 + 256
    printed = PUBLISHED["ubimoe"].dsp
    assert printed is not None
    assert design("ubimoe").dsp <= printed <= ZCU102.dsp
    assert (design("edge-moe").lanes, design("edge-moe").weights_per_beat) == (8, 16)


def test_a_board_result_is_given_for_its_own_board_model_and_clock_only():
    assert published("ubimoe", "zcu102", "m3vit-tiny", 300e6) is PUBLISHED["ubimoe"]
    assert published("ubimoe", "zcu104", "m3vit-tiny", 300e6) is None
    assert published("ubimoe", "zcu102", "m3vit-small", 300e6) is None
    assert published("ubimoe", "zcu102", "m3vit-tiny", 250e6) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tokens": 1}, "tokens: must lie between 2"),
        ({"tokens": 10**9}, "tokens: must lie between 2"),
        ({"clock_hz": 0.0}, "from 1 kHz to 100 GHz"),
        ({"clock_hz": float("nan")}, "from 1 kHz to 100 GHz"),
        ({"model": model("mixtral-8x7b")}, "mixtral-8x7b: has a layer 0"),
        ({"model": model("switch-base-8")}, "do not run"),
        ({"design": UbiMoe(linear_units=8)}, "zcu102: has 2520 DSP; .* need 4352 .1832 too many"),
        ({"queues": np.ones((6, 15), int)}, "queues: must be whole numbers"),
        ({"queues": np.full((6, 16), 16.125)}, "queues: must be whole numbers"),
        ({"queues": np.ones((6, 16), int)}, "sum to tokens x top_k = 258"),
        ({"queues": np.full((6, 16), -1)}, "between 0 and 129"),
    ],
)
def test_what_cannot_be_estimated_is_refused(change, says):
    asked = {"design": EdgeMoe(), "model": TINY, "tokens": 129, "device": ZCU102} | change
    with pytest.raises(BadInput, match=says):
        estimate(**asked)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"tin": 0}, "tin"), ({"queries": -4}, "queries"), ({"port_bits": 16}, "narrower")],
)
def test_a_design_that_cannot_be_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        EdgeMoe(**change)


def run(capsys, *words):
    typer.main.get_command(command.app).main(list(words), standalone_mode=False)
    return capsys.readouterr().out


ASKED = ("estimate", "edge-moe", "--model", "m3vit-tiny", "--on", "zcu102", "--tokens", "129,197")


def test_the_command_prints_terms_bracket_and_board(capsys):
    out = run(capsys, *ASKED)
    for words in ("QK^T", "full overlap", "17.58", "37.35", "34.64", "measured-published"):
        assert words in out


def test_the_command_as_json_adds_up_and_names_its_evidence(capsys, tmp_path):
    data = json.loads(run(capsys, *ASKED, "--json", "--out", str(tmp_path / "e.json")))
    assert json.loads((tmp_path / "e.json").read_text()) == data
    assert data["published"]["evidence"] == "measured-published"
    assert [each["tokens"] for each in data["estimates"]] == [129, 197]
    for each in data["estimates"]:
        assert each["evidence"] == "simulated"
        total = sum(term["seconds"] for term in each["terms"])
        assert total == pytest.approx(each["no_overlap_s"])


def test_another_board_has_no_published_figure(capsys):
    out = run(capsys, "estimate", "ubimoe", "--model", "m3vit-small", "--on", "u50")
    assert "197 tokens" in out
    assert "measured-published" not in out


def test_the_list_holds_every_design(capsys):
    rows = json.loads(run(capsys, "list", "--json"))
    assert {row["design"]: row["dsp"] for row in rows} == {"edge-moe": 768, "ubimoe": 1792}
    assert "linear_units" in run(capsys, "list")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("edge", "--model", "m3vit-tiny", "--on", "zcu102"), "did you mean edge-moe"),
        (("edge-moe", "--model", "m3vit-tiny", "--on", "h100-sxm"), "is no FPGA"),
        (("edge-moe", "--model", "mixtral-8x7b", "--on", "zcu102"), "states no image size"),
        ((*ASKED[1:-1], "129,x"), "--tokens"),
        ((*ASKED[1:], "--clock", "fast"), "--clock"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(capsys, words, says):
    with pytest.raises(BadInput, match=says):
        run(capsys, "estimate", *words)
