"""The crossover of GPU, PIM in banks, PIM on the logic die and both: numbers, picture, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.cli.pim_crossover import crossover as command
from moesaic.hardware.load import device
from moesaic.roofline.bound import units
from moesaic.simulator.step.expert_time import TimeCurve
from moesaic.sweeps.chapters.crossover import Crossover, Skew, crossover
from moesaic.sweeps.crossover import (
    ALONE,
    BANK,
    BOTH,
    GPU,
    LOGIC,
    around,
    chances,
    cross,
    regrained,
)
from moesaic.sweeps.plots.style import svg
from moesaic.workload.load import model

EXAMPLES = Path(__file__).parents[2] / "examples"
QWEN = model("qwen3-235b-a22b")


@pytest.fixture(scope="module")
def at_peak():
    """The processors at their peak bandwidths: no memory is simulated."""
    (xpu, logic), (_, banks) = (units(device(name)) for name in ("duplex", "bank-pim"))
    return {GPU: xpu, BANK: banks, LOGIC: logic}


@pytest.fixture(scope="module")
def crossing(at_peak):
    return cross(
        QWEN, at_peak, np.ones((1, 128)), experts=np.array([32, 128, 512]),
        batches=2 ** np.arange(13), draws=2, seed=0,
    )  # fmt: skip


def test_few_tokens_are_for_banks_many_for_the_gpu_and_some_for_the_logic_die(crossing):
    for row in crossing.fastest:
        assert [ALONE[i] for i in row[[0, -1]]] == [BANK, GPU]
        assert ALONE.index(LOGIC) in row
        turns = [a for a, b in zip(row, np.append(row[1:], -1), strict=True) if a != b]
        assert turns == [ALONE.index(name) for name in (BANK, LOGIC, GPU)]


def test_more_and_narrower_experts_move_the_turns_to_more_tokens(crossing):
    gpu_from = (crossing.fastest == ALONE.index(GPU)).argmax(axis=1)
    assert (np.diff(gpu_from) == 2).all()  # four times the experts, four times the tokens


def test_both_units_are_never_slower_than_either_and_gain_most_where_they_are_equal(crossing):
    both = crossing.seconds[BOTH]
    for name in (GPU, LOGIC):
        assert (both <= crossing.seconds[name] * (1 + 1e-12)).all()
    assert (crossing.gain[:, 0] < 1).all()  # but a Bank-PIM is faster for a single token
    apart = np.abs(np.log(crossing.seconds[GPU] / crossing.seconds[LOGIC]))
    assert (np.abs(crossing.gain.argmax(axis=1) - apart.argmin(axis=1)) <= 1).all()


def test_a_single_token_reads_top_k_experts(crossing, at_peak):
    own = crossing.experts.tolist().index(128)
    for name, unit in at_peak.items():
        one = 8 * TimeCurve.of(QWEN, unit)(1)
        assert crossing.seconds[name][own, 0] == pytest.approx(one, rel=1e-12)


def test_recut_experts_keep_their_parameters():
    block = QWEN.experts
    for experts in around(block.count, block.top_k).tolist():
        cut = regrained(QWEN, experts).experts
        assert cut.count * cut.inter == pytest.approx(block.count * block.inter, rel=0.002)
        assert cut.top_k == block.top_k
    assert around(8, 2, 1).tolist() == [2, 4, 8, 16, 32]
    with pytest.raises(BadInput, match="at least the 8"):
        regrained(QWEN, 7)


@given(
    st.lists(st.floats(0.01, 100), min_size=2, max_size=40),
    st.integers(1, 8),
    st.integers(0, 100),
)
def test_chances_keep_the_skew_and_sum_to_top_k(loads, top_k, more):
    row = np.array([loads])
    (found,) = chances(row, top_k + more, top_k)
    assert found.sum() == pytest.approx(top_k)
    assert (np.diff(found) >= -1e-12).all()
    assert 0 <= found.min() <= found.max() <= 1 + 1e-12
    (same,) = chances(row, len(loads), 1)
    assert same == pytest.approx(np.sort(loads) / np.sum(loads))


def test_more_skew_helps_both_at_once(at_peak):
    even, skewed = (
        cross(
            QWEN, at_peak, loads[None], experts=np.array([128]), batches=np.array([512]),
            draws=2, seed=0,
        )
        for loads in (np.ones(128), 1 / np.arange(1, 129.0))
    )  # fmt: skip
    assert skewed.gain > even.gain


SKEW = Skew(model=QWEN.name, counts="data/olmoe_repo_counts.npz", part="olmoe1b7b")
SECTION = Crossover(name="x", title="X", maps=(SKEW,), steps=1, draws=1, layers=1, most_batch=1000)


def test_the_chapter_shows_maps_and_turns_and_is_the_same_for_the_same_seed():
    section, again = (crossover(SECTION, 1, EXAMPLES) for _ in range(2))
    assert section.data == again.data
    assert svg(section.figure) == svg(again.figure)
    assert section.data[0]["batches"][-1] == 1000
    assert [row[1] for row in section.tables[0].rows] == ["32", "128", "512"]
    assert section.tables[0].rows[1][2].startswith("Bank-PIM 1-")
    assert "olmoe_repo_counts.npz (olmoe1b7b)" in section.words[-1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"on": "h100-sxm"}, "h100-sxm: is no PIM with a host"),
        ({"bank": "h100-sxm"}, "h100-sxm: is no PIM with a host"),
        ({"maps": (Skew(model=QWEN.name, part="a"),)}, "part: goes with"),
        ({"maps": (Skew(model=QWEN.name, counts="data/none.npz"),)}, "none.npz"),
    ],
)
def test_what_cannot_be_mapped_is_refused(change, says):
    with pytest.raises(BadInput, match=says):
        crossover(msgspec.structs.replace(SECTION, **change), 0, EXAMPLES)


@pytest.fixture
def app():
    made = typer.Typer()
    made.command()(command)
    return typer.main.get_command(made)


SMALL = ["--steps", "1", "--draws", "1", "--layers", "1", "--most-batch", "64"]


def test_the_command_prints_writes_and_draws(app, capsys, tmp_path):
    counts = f"{EXAMPLES}/data/olmoe_repo_counts.npz:olmoe1b7b"
    words = ["--model", QWEN.name, "--counts", counts, *SMALL]
    app.main([*words, "--out", str(tmp_path / "x.svg")], standalone_mode=False)
    assert "Bank-PIM 1-" in capsys.readouterr().out
    assert (tmp_path / "x.svg").read_text().count("<svg") == 1
    app.main([*words, "--json", "--out", str(tmp_path / "x.json")], standalone_mode=False)
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "x.json").read_text())[0]
    assert np.shape(shown["gain"]) == (len(shown["experts"]), len(shown["batches"]))


def test_more_recordings_than_models_are_refused(app):
    with pytest.raises(BadInput, match="names 2 files for 1 models"):
        app.main(["--model", QWEN.name, "--counts", "a,b"], standalone_mode=False)
    with pytest.raises(BadInput, match="steps"):
        app.main(["--model", QWEN.name, "--steps", "0"], standalone_mode=False)
