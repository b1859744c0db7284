"""Does a finished run answer on the terminal: its front, its knobs, and why a point is so?"""

import json

import pytest

from moesaic.cli.app import main

SPACE = """
title = "Mixtral by batch"
by = ["batch"]
goals = ["tpot_s < 0.02"]

[fixed]
model = "mixtral-8x7b"
context = 2048

[axes]
batch = [1, 8]
tp = [2, 4, 8]
machine = [
  { name = "H100", device = "h100-sxm", link = "nvlink4", count = 8 },
  { name = "V80", device = "v80", link = "pcie-gen5-x16", count = 8 },
]

[constraints]
not_all = "tp < 8 or batch > 1"

[objectives]
minimise = ["tpot_s", "tp"]

[finer]
most = 12
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of 12 points, of which two are left out."""
    here = tmp_path_factory.mktemp("answers")
    (here / "space.toml").write_text(SPACE)
    out = here / "run"
    words = ["sweep", "run", str(here / "space.toml"), "--jobs", "1", "--out", str(out)]
    assert main(words) == 0
    return out


def told(capsys, *words):
    """What the command says as JSON."""
    capsys.readouterr()
    assert main(["sweep", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_front_is_shown_by_group_with_units_evidence_knee_and_proof(folder, capsys):
    assert main(["sweep", "front", str(folder)]) == 0
    shown = capsys.readouterr().out
    for part in (
        "least tpot_s, least tp; within each batch; with tpot_s < 0.02",
        " ms",
        "△ tile",
        "knee",
        "Of 10 points",
        "tpot_s < 0.02 leaves ",
        "Hypervolume of the whole front",
        "points were looked at more closely",
    ):
        assert part in shown


def test_a_front_as_json_is_that_of_the_table_in_si_units(folder, capsys):
    found = told(capsys, "front", folder)
    rows = found["front"]
    assert [row["batch"] for row in rows] == sorted(row["batch"] for row in rows)
    assert {row["batch"] for row in rows if row["knee"]} == {1, 8}
    assert sum(row["knee"] for row in rows) == 2
    assert {(row["detail"], row["evidence"]) for row in rows} <= {
        ("tile", "simulated"),
        ("bound", "bound"),
    }
    assert found["units"]["tpot_s"] == "s"
    assert found["evaluated"] == 10
    for one in found["goals"]:
        assert 0 < one["leaves"] <= 10
    for first in rows:  # no row beats another of its group
        for other in rows:
            if first["batch"] == other["batch"] and first is not other:
                assert first["tpot_s"] > other["tpot_s"] or first["tp"] > other["tp"]


def test_a_front_may_be_ordered_by_another_objective_and_cut(folder, capsys):
    tps = [row["tp"] for row in told(capsys, "front", folder, "--by-objective", "tp")["front"]]
    by_time = [row["tp"] for row in told(capsys, "front", folder)["front"]]
    assert sorted(tps) == sorted(by_time)
    assert tps[0] == 2
    assert by_time[0] > 2
    assert len(told(capsys, "front", folder, "--limit", 1)["front"]) == 1
    assert main(["sweep", "front", str(folder), "--limit", "1"]) == 0
    assert f"1 of {len(tps)} designs" in capsys.readouterr().out


def test_a_goal_that_nothing_meets_leaves_no_front_and_is_named(tmp_path, capsys):
    asked = SPACE.replace("< 0.02", "< 0.00001").split("[finer]")[0]
    (tmp_path / "space.toml").write_text(asked)
    run = str(tmp_path / "run")
    words = ["sweep", "run", str(tmp_path / "space.toml"), "--jobs", "1", "--out", run]
    assert main(words) == 0
    assert main(["sweep", "front", run]) == 0
    shown = capsys.readouterr().out
    assert "No point meets every goal." in shown
    assert "Of 10 points, status == 'ok' leaves 8, tpot_s < 0.00001 leaves 0; 0 meet all" in shown
    assert told(capsys, "front", run)["front"] == []
    assert main(["sweep", "why", run, "0"]) == 0
    assert "it misses tpot_s < 0.00001" in capsys.readouterr().out


def test_knobs_are_shares_of_variance(folder, capsys):
    assert main(["sweep", "knobs", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "machine" in shown
    assert "▽ bound" in shown
    found = told(capsys, "knobs", folder)
    assert found["evidence"] == "bound"
    assert {effect["axis"] for effect in found["effects"]} <= {"batch", "tp", "machine"}
    assert all(0 <= effect["alone"] <= 1 for effect in found["effects"])


def test_why_adds_up_and_says_what_one_step_of_each_knob_changes(folder, capsys):
    best = told(capsys, "front", folder)["front"][0]["point"]
    found = told(capsys, "why", folder, best)
    step = found["step"]
    assert sum(step["why"].values()) == pytest.approx(step["seconds"], rel=1e-9)
    assert step["evidence"] == "bound"
    assert found["results"]["bound"]["values"]["tpot_s"] == pytest.approx(step["seconds"])
    assert found["results"]["finer"]["evidence"]["tpot_s"] == "simulated"
    assert found["beaten_by"] == {"stage": "finer", "points": []}
    assert {move["axis"] for move in found["moves"]["to"]} == {"batch", "tp", "machine"}
    assert main(["sweep", "why", str(folder), str(best)]) == 0
    shown = capsys.readouterr().out
    assert "It is on the front" in shown
    assert "finer: △ tile" in shown
    assert "limited by" in shown
    assert "left out by the constraints" in shown


def test_why_names_who_beats_a_point_and_which_goal_it_misses(folder, capsys):
    asked = "SELECT point, tpot_s FROM best WHERE status = 'ok'"
    rows = told(capsys, "query", asked, folder)["rows"]
    front = {row["point"] for row in told(capsys, "front", folder)["front"]}
    assert {row["tpot_s"] < 0.02 for row in rows if row["point"] not in front} == {True, False}
    for row in rows:
        if row["point"] not in front:
            beaten = told(capsys, "why", folder, row["point"])
            assert main(["sweep", "why", str(folder), str(row["point"])]) == 0
            shown = capsys.readouterr().out
            if row["tpot_s"] >= 0.02:
                assert beaten["misses"] == ["tpot_s < 0.02"]
                assert "it misses tpot_s < 0.02" in shown
            else:
                assert set(beaten["beaten_by"]["points"]) <= front
                assert "Points of the front that dominate it" in shown


def test_a_space_of_one_point_has_no_knobs_and_says_so(tmp_path, capsys):
    one = SPACE.replace("[1, 8]", "[1]").replace("[2, 4, 8]", "[8]").split("[finer]")[0]
    one = one.replace(' or batch > 1"', ' or batch > 0"').replace('  { name = "V80"', '  # { "')
    (tmp_path / "space.toml").write_text(one)
    run = str(tmp_path / "run")
    words = ["sweep", "run", str(tmp_path / "space.toml"), "--jobs", "1", "--out", run]
    assert main(words) == 0
    assert main(["sweep", "knobs", run]) == 0
    assert "no axis takes two values among the points that fit" in capsys.readouterr().out
    assert main(["sweep", "why", run, "0"]) == 0
    shown = capsys.readouterr().out
    assert "No axis has another value: there is no knob to turn." in shown
    assert "sample" not in shown


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["why", "RUN", "best"], "POINT: must be a whole number, such as `moesaic sweep front`"),
        (["why", "RUN", "1.5"], "must be a whole number"),
        (["why", "RUN", "9" * 30], "must be a whole number"),
        (["why", "RUN", "12"], "point: must lie in 0..11 (got 12)"),
        (["why", "RUN", "4"], "point: is left out by the space's constraints (got 4)"),
        (["front", "RUN", "--by-objective", "tpot"], "must be one of tpot_s, tp (got 'tpot')"),
        (["front", "NOWHERE"], "is no folder; name the folder of a run"),
        (["knobs", "EMPTY"], "is no run: it holds no sweep.json"),
        (["front", "HALF"], "is not finished: stage bound lacks"),
        (["why", "HALF", "1"], "go on with `moesaic sweep resume"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(folder, tmp_path, capsys, words, why):
    (tmp_path / "empty").mkdir()
    half = tmp_path / "half"
    half.mkdir()
    for name in ("space.toml", "sweep.json"):
        (half / name).write_bytes((folder / name).read_bytes())
    names = {"RUN": folder, "NOWHERE": tmp_path / "x", "EMPTY": tmp_path / "empty", "HALF": half}
    assert main(["sweep", *(str(names.get(word, word)) for word in words)]) == 2
    fault = capsys.readouterr()
    assert why in fault.err
    assert fault.err.count("\n") == 1
    assert fault.out == ""


def test_every_help_holds_an_example(capsys):
    for verb in ("front", "knobs", "why"):
        assert main(["sweep", verb, "--help"]) == 0
        assert f"Example: moesaic sweep {verb} runs/a" in capsys.readouterr().out
