"""UbiMoE's paper beside ours, and the search as a command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer

from moesaic.base import BadInput
from moesaic.cli.fpga_search import search as command
from moesaic.simulator.fpga.precision import PRECISIONS
from moesaic.sweeps.fpga.inverse import inverse
from moesaic.sweeps.fpga.queues import even
from moesaic.sweeps.fpga.space import Axes, Space
from moesaic.sweeps.papers import Question, reproduce
from moesaic.sweeps.papers.ubimoe import operations, zcu102
from moesaic.workload.load import model

TINY = model("m3vit-tiny")


@pytest.fixture(scope="module")
def found():
    return reproduce("ubimoe", Question())


def test_operations_are_the_papers_at_197_tokens():
    """GOPS times latency is 2.50 GOP in both of its ZCU102 columns."""
    assert operations(TINY, 197) == pytest.approx(2.507e9, rel=1e-3)
    assert operations(TINY, 129) == pytest.approx(1.561e9, rel=1e-3)
    for gops, seconds in ((97.04, 25.76e-3), (72.15, 34.64e-3)):
        assert gops * seconds == pytest.approx(operations(TINY, 197) / 1e9, rel=4e-3)


def test_both_token_counts_stand_beside_the_board(found):
    ours = {claim.metric: claim for claim in found.claims}
    for tokens, low, high in ((129, 9.23, 15.54), (197, 15.86, 28.11)):
        claim = ours[f"UbiMoE latency, {tokens} tokens"]
        assert claim.published == 25.76
        assert claim.span == pytest.approx((low, high), abs=0.01)
        assert claim.span[0] <= claim.ours <= claim.span[1]
        assert ("no overlap at all" in claim.reason) == (tokens == 129)
        if tokens == 197:
            rate = ours[f"UbiMoE GOPS, {tokens} tokens"]
            assert rate.ours * claim.ours / 1e3 == pytest.approx(operations(TINY, tokens) / 1e9)
    assert ours["Edge-MoE latency, 197 tokens"].status == "reproduced"


def test_gops_of_another_count_of_operations_are_not_held_beside_the_papers(found):
    ours = {claim.metric: claim for claim in found.claims}
    for name in ("UbiMoE", "Edge-MoE"):
        claim = ours[f"{name} GOPS, 129 tokens"]
        assert claim.ours is None
        assert claim.reason == "the paper's GOPS x ms is 2.50 GOP; 129 tokens have 1.56"


def test_watts_say_whether_they_are_published_or_modelled(found):
    claims = [claim for claim in found.claims if claim.unit == "GOPS/W"]
    assert len(claims) == 3
    for claim in claims:
        assert ("modelled W" in claim.metric) != ("published W" in claim.metric)
        assumed = " ".join(claim.assumptions)
        assert ("watts are modelled" in assumed) == ("modelled W" in claim.metric)


def test_nothing_is_fitted_and_a_peer_that_is_not_modelled_says_so(found):
    assert not any(claim.fitted for claim in found.claims)
    (peer,) = [claim for claim in found.claims if claim.paper == "HeatViT"]
    assert (peer.ours, peer.reason) == (None, "token pruning is not modelled")


def test_resources_stand_beside_the_four_printed_ones(found):
    rows = {claim.metric: claim for claim in found.claims}
    assert (rows["DSP"].published, rows["DSP"].ours) == (1850, 1876)
    assert [rows[name].published for name in ("BRAM", "LUT", "FF")] == [458, 123.4, 142.6]


def test_the_inverse_lists_what_a_plain_loop_finds():
    axes = Axes(
        clock_hz=(300e6,), port_bits=(128, 256), queries=(4, 8), copies=(1, 2), tin=(8, 16),
        tout=(16,), units=(2, 3, 5),
    )  # fmt: skip
    space = Space(
        board=zcu102(), precision=PRECISIONS["w16a32"], model=TINY, tokens=197,
        queues=even(TINY, 197), axes=axes,
    )  # fmt: skip
    wanted_s = 17e-3
    got = inverse(space, 1850, wanted_s)
    latencies = []
    for place in np.ndindex(axes.shape):
        one = space.evaluate([np.array([at]) for at in place])
        latency, dsp = one.objectives[0, :2]
        if one.inside[0] and abs(dsp / 1850 - 1) <= 0.05:
            latencies.append(latency)
    assert latencies
    assert got.latency_s.tolist() == latencies
    errors = sorted(abs(each / wanted_s - 1) for each in latencies)
    assert [abs(row["latency_s"] / wanted_s - 1) for row in got.designs] == errors
    assert got.matches == sum(error <= 0.05 for error in errors) > 0
    default = {"port_bits": 256, "queries": 4, "copies": 1, "tin": 16, "tout": 16, "units": 3}
    assert any(default.items() <= row.items() for row in got.designs)
    assert (got.low_s <= got.latency_s).all()
    assert (got.latency_s <= got.high_s).all()


def test_the_page_names_every_design_with_the_printed_dsp(found):
    section = next(each for each in found.sections if each.name == "ubimoe-inverse")
    for data, row in zip(section.data, section.tables[0].rows, strict=True):
        assert int(row[0]) == data["tokens"]
        assert int(row[1]) == len(data["designs"]) > 1000
        assert int(row[4]) == data["within_5_percent"] > 0
        for place, design in enumerate(data["designs"]):
            assert abs(design["dsp"] / 1850 - 1) <= 0.05
            near = abs(design["latency_s"] / 25.76e-3 - 1) <= 0.05
            assert near == (place < data["within_5_percent"])


def run(capsys, *words):
    app = typer.Typer()
    app.command()(command)
    typer.main.get_command(app).main(list(words), standalone_mode=False)
    return capsys.readouterr().out


ASKED = ("--on", "zcu102", "--model", "m3vit-tiny", "--precision", "int8")
RECORDED = "examples/data/tiny_mixtral_E16k2_seed0.npz"


def test_the_command_prints_the_fastest_design_and_draws_the_front(capsys, tmp_path):
    out = run(capsys, *ASKED, "--png", str(tmp_path / "f.png"), "--out", str(tmp_path / "o"))
    assert "zcu102 int8" in out
    assert "460,800 designs, all evaluated" in out
    assert "assumed constants" in out
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    (front,) = json.loads((tmp_path / "o" / "fronts.json").read_text())["fronts"]
    assert front["points"] == 460_800
    assert min(row["latency_s"] for row in front["front"]) == pytest.approx(3.18e-3, rel=0.01)


def test_the_command_chooses_lanes_by_a_recorded_load(capsys, request):
    recorded = str(request.config.rootpath / RECORDED)
    data = json.loads(run(capsys, *ASKED, "--counts", recorded, "--tokens", "129", "--json"))
    choice = data["lanes"]["zcu102 int8"]
    assert [each["units"] for each in choice["lanes"]] == sorted(
        each["units"] for each in choice["lanes"]
    )
    least = min(each["latency_s"] for each in choice["lanes"])
    assert choice["chosen"]["latency_s"] == least


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--on", "h100-sxm", *ASKED[2:]), "h100-sxm: is no FPGA"),
        ((*ASKED[:2], "--model", "mixtral-8x7b"), "states no image size"),
        ((*ASKED[:2], "--model", "mixtral-8x7b", "--tokens", "129"), "do not run"),
        ((*ASKED[:-1], "int4"), "precision"),
        ((*ASKED, "--png", "fronts.svg"), "must end in .png"),
        ((*ASKED, "--part", "a"), "goes with --counts"),
        ((*ASKED, "--evaluations", "1000001"), "between 1 and 1000000"),
        ((*ASKED, "--evaluations", "-1"), "between 1 and 1000000"),
        (("--on", "zcu102,zcu102", *ASKED[2:]), "zcu102 comes 2 times"),
        ((*ASKED[:-1], "int8,int8"), "int8 comes 2 times"),
        ((*ASKED, "--png", ""), "--png: must not be empty"),
        ((*ASKED, "--out", ""), "--out: must not be empty"),
        ((*ASKED, "--counts", ""), "--counts: must not be empty"),
        ((*ASKED[:2], "--model", ""), "--model: must not be empty"),
        ((*ASKED, "--png", "/proc/fronts.png"), "--png: cannot be written"),
        ((*ASKED, "--png", "/dev/null/fronts.png"), "--png: cannot be written"),
        ((*ASKED, "--out", "/dev/null"), "--out: cannot be written"),
    ],
)
def test_bad_words_are_refused_in_a_sentence_before_the_search(capsys, monkeypatch, words, says):
    monkeypatch.setattr(Space, "grid", lambda self: pytest.fail("searched"))
    with pytest.raises(BadInput, match=says):
        run(capsys, *words)


def test_a_folder_is_no_figure(capsys, tmp_path):
    (tmp_path / "f.png").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        run(capsys, *ASKED, "--png", str(tmp_path / "f.png"))
