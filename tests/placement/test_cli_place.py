"""moesaic place: from a trace to a checked file, and one sentence for what cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from moesaic.cli.app import main


@pytest.fixture
def trace(tmp_path):
    """A trace of 16 experts that some tokens prefer, in the npz form that readers know."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((600, 3, 16)) + rng.normal(0, 1, (3, 16))
    ids = np.argsort(-scores, axis=2)[:, :, :2].astype(np.int16)
    meta = json.dumps({"config": {"E": 16}})
    np.savez(tmp_path / "trace.npz", expert_ids=ids, meta=np.array(meta))
    return str(tmp_path / "trace.npz")


def test_a_solved_file_is_checked_with_its_certificate(trace, tmp_path, capsys):
    out = str(tmp_path / "map.json")
    assert main(["place", "solve", trace, "--on", "dgx-h100", "--out", out, "--json"]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert (solved["ranks"], solved["method"]) == (8, "lpt-swaps")
    assert main(["place", "check", out, "--trace", trace, "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["certificate"] == "holds"
    assert checked["imbalance_worst"] == pytest.approx(solved["imbalance_worst"])


def test_compare_runs_the_methods_named_in_order(trace, capsys):
    words = ["place", "compare", trace, "--on", "dgx-h100", "--ranks", "4"]
    assert main([*words, "--methods", "contiguous,lpt-swaps", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["methods"]
    assert [row["method"] for row in rows] == ["contiguous", "lpt-swaps"]
    assert rows[1]["imbalance_worst"] < rows[0]["imbalance_worst"]
    assert main([*words, "--methods", "all", "--time-limit", "0.1"]) == 0
    assert "exact-small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "dgx-h100", "--ranks", "9"], "has 8 devices"),
        (["--on", "dgx-h100", "--method", "magic"], "no placement method is called 'magic'"),
        (["--on", "dgx-h100", "--cap", "1.0001", "--ranks", "8"], "the mean"),
        (["--on", "dgx-h10"], "dgx-h100"),
    ],
)
def test_what_cannot_be_gives_one_sentence_and_code_2(trace, tmp_path, capsys, words, sentence):
    out = tmp_path / "map.json"
    assert main(["place", "solve", trace, *words, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_file_with_copies_of_experts_is_scored_without_a_certificate(trace, tmp_path, capsys):
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps({"physical_to_logical_map": [[*range(16), 0, 4, 8, 12]] * 3}))
    assert main(["place", "check", str(file), "--trace", trace, "--ranks", "4", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["slots"], facts["experts"]) == (20, 16)
    assert facts["certificate"].startswith("none")
    assert facts["imbalance_worst"] >= 1


def test_a_file_for_another_expert_count_is_refused(trace, tmp_path, capsys):
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"physical_to_logical_map": [list(range(8))] * 3}))
    assert main(["place", "check", str(file), "--trace", trace, "--ranks", "4"]) == 2
    assert "no slot" in capsys.readouterr().err


def test_joint_is_solved_under_a_cap_and_its_proofs_travel(trace, tmp_path, capsys):
    out = tmp_path / "map.json"
    words = ["place", "solve", trace, "--on", "dgx-h100", "--ranks", "4", "--method", "joint"]
    more = ["--cap", "1.9", "--time-limit", "0.3", "--bound-time", "0.5", "--out", str(out)]
    assert main([*words, *more, "--json"]) == 0
    solved = json.loads(capsys.readouterr().out)
    assert solved["imbalance_worst"] <= 1.9
    assert solved["hop_bound"] <= solved["hop_cost"]
    assert set(solved["unseen"]) >= {"imbalance_worst", "hops", "fan_out"}
    assert (tmp_path / "map.proof.npz").exists()
    assert main(["place", "check", str(out), "--trace", trace, "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["certificate"] == "holds"
    assert checked["hop_bound_checked"] is True
    assert main(["place", "check", str(out)]) == 0
    np.savez(tmp_path / "map.proof.npz", kept_1=np.zeros(2))
    assert main(["place", "check", str(out), "--trace", trace]) == 2
    assert "duals_1" in capsys.readouterr().err


def test_every_format_is_written_and_checked(trace, tmp_path, capsys):
    for name in ("map.yaml", "map.npz", "map.npy"):
        out = str(tmp_path / name)
        assert main(["place", "solve", trace, "--on", "dgx-h100", "--out", out]) == 0
        assert main(["place", "check", out, "--trace", trace, "--json"]) == 0
        said = capsys.readouterr().out
        assert '"certificate": "holds"' in said


def test_rebalance_moves_no_more_than_allowed(trace, tmp_path, capsys):
    out = str(tmp_path / "map.json")
    words = ["--on", "dgx-h100", "--json"]
    start = ["place", "solve", trace, *words, "--method", "contiguous", "--learn", "all"]
    assert main([*start, "--out", out]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main(["place", "rebalance", trace, *words, "--current", out, "--moves", "6"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["moved"] <= 6
    assert after["imbalance_worst"] < before["imbalance_worst"]


@pytest.mark.slow
def test_compare_writes_its_report_with_seconds(tmp_path, capsys):
    trace = str(tmp_path / "t.parquet")
    shape = ["--experts", "8", "--top-k", "2", "--layers", "32", "--tokens", "600"]
    assert main(["trace", "make", *shape, "--affinity", "3", "--out", trace]) == 0
    words = ["place", "compare", trace, "--on", "two-node-h100", "--ranks", "4", "--methods"]
    more = ["--model", "mixtral-8x7b", "--time-limit", "0.2", "--bound-time", "0.2"]
    out = tmp_path / "report"
    code = main([*words, "contiguous,exact", *more, "--out", str(out), "--json"])
    assert code == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)["methods"]}
    assert rows["exact"]["hop_gap"] == pytest.approx(0, abs=1e-9)
    assert all(row["step"]["link_s"] < row["step"]["step_s"] for row in rows.values())
    made = {path.name for path in out.iterdir()}
    assert made >= {"index.html", "methods.png", "traffic.png", "front.png", "curves.png"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--price", "hop=1"], "'hop'"),
        (["--price", "hops=x"], "needs NAME=NUMBER"),
        (["--price", "hops=-1"], "0 or more"),
        (["--price", "hops=0"], "weighs nothing"),
        (["--slots", "1"], "do not fit"),
        (["--slots", "17"], "17 slots for 16 experts"),
        (["--relax-cap"], "needs --cap"),
        (["--node-cost", "0.5"], "from 1 (a hop"),
        (["--node-cost", "1e308"], "to 1e+06"),
        (["--touched", "0"], "at least 1"),
        (["--moves", "3"], "loaded now"),
        (["--method", "joint", "--price", "hops=0,moves=1"], "loaded now"),
        (["--method", "joint", "--cap", "1.001", "--time-limit", "0.1"], "the mean"),
        (["--learn", "most"], "most"),
        (["--bound-time", "-1"], "0 or more"),
    ],
)
def test_options_that_cannot_be_are_refused(trace, tmp_path, capsys, words, sentence):
    out = tmp_path / "map.json"
    assert main(["place", "solve", trace, "--on", "dgx-h100", *words, "--out", str(out)]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_wrong_ending_is_refused_before_the_search(trace, tmp_path, capsys):
    words = ["place", "solve", trace, "--on", "dgx-h100", "--out", str(tmp_path / "map.txt")]
    assert main(words) == 2
    assert "endings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "name", "sentence"),
    [
        (["--ranks", "5"], "map.json", "choose a number of ranks that divides the slots"),
        (["--format", "eplb"], "map.json", "by the ending .npz"),
        (["--model-layers", "2"], "map.json", "a model of 2 has none"),
        ([], "folder.json", "is a folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_search(
    trace, tmp_path, capsys, words, name, sentence
):
    (tmp_path / "folder.json").mkdir()
    before = sorted(tmp_path.iterdir())
    out = str(tmp_path / name)
    words = [*words, "--method", "joint", "--time-limit", "1e6", "--out", out]
    assert main(["place", "solve", trace, "--on", "dgx-h100", *words]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_touched_experts_are_checked_by_the_same_word(trace, tmp_path, capsys):
    out = str(tmp_path / "map.json")
    solve = ["place", "solve", trace, "--on", "dgx-h100", "--touched", "16", "--out", out]
    assert main(solve) == 0
    capsys.readouterr()
    for words, start in (([], "made from another trace, or of other"), (["16"], "holds")):
        asked = ["--touched", *words] if words else []
        assert main(["place", "check", out, "--trace", trace, *asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["certificate"].startswith(start)


def test_what_rests_on_a_search_is_not_said_to_hold(tmp_path, capsys):
    """A sidecar that claims a search of 12,870 placements: more than the checker repeats."""
    file, out = str(tmp_path / "trace.parquet"), tmp_path / "map.json"
    make = "trace make --experts 16 --top-k 2 --layers 2 --tokens 200 --affinity 1.5"
    assert main([*make.split(), "--out", file]) == 0
    solve = ["place", "solve", file, "--on", "dgx-h100", "--ranks", "2", "--out", str(out)]
    assert main([*solve, "--bound-time", "0"]) == 0
    beside = tmp_path / "map.meta.json"
    sidecar = json.loads(beside.read_text())
    total = sidecar["terms"]["bound"] / sidecar["hops"]["bound"]
    sidecar["hops"]["bound"] = sidecar["hops"]["reached"]
    sidecar["terms"] |= {"bound": sidecar["hops"]["reached"] * total, "exhaustive": True}
    beside.write_text(json.dumps(sidecar))
    capsys.readouterr()
    assert main(["place", "check", str(out), "--trace", file, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["certificate"]
    assert said == "not proven here: the bounds on the hops rest on a search"
