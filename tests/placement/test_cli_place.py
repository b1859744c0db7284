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
    assert main([*words, "--methods", "all", "--time-limit", "1"]) == 0
    assert "exact-small" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--on", "dgx-h100", "--ranks", "9"], "has 8 devices"),
        (["--on", "dgx-h100", "--method", "magic"], "no placement method is called 'magic'"),
        (["--on", "dgx-h100", "--cap", "1.0001", "--ranks", "5"], "the mean"),
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
