"""Do the commands answer, and leave nothing behind when they cannot?"""

import json

import numpy as np
import pytest

from moesaic.cli.app import main
from moesaic.workload import readers


def test_the_list_holds_35_models_with_totals(capsys):
    assert main(["model", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 35
    assert all(row["total_parameters"] > 0 for row in rows)
    mixtral = next(row for row in rows if row["name"] == "mixtral-8x7b")
    assert (mixtral["experts"], mixtral["top_k"], mixtral["attention"]) == (8, 2, "GQA")


@pytest.mark.parametrize("name", ["deepseek-v3", "jamba-v0.1", "switch-base-8", "m3vit-tiny"])
def test_a_model_is_shown_as_a_table_and_as_json(capsys, name):
    assert main(["model", "show", name]) == 0
    assert name in capsys.readouterr().out
    assert main(["model", "show", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["parameters"].values()) == told["total_parameters"]


def test_each_recorded_file_is_shown(capsys, data_folder):
    files = [*data_folder.glob("*.npz"), *data_folder.glob("*.json")]
    assert len(files) == 4
    for file in files:
        assert main(["trace", "show", str(file)]) == 0
        assert main(["trace", "show", str(file), "--json"]) == 0
    capsys.readouterr()
    main(["trace", "show", str(data_folder / "tiny_mixtral_E16k2_seed0.npz"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["imbalance"]["expert"]["mean"] == pytest.approx(1.56, abs=0.005)
    assert set(told["imbalance_by_window"]) >= {"en_prose", "c_code"}


def test_a_trace_is_made_and_imported(tmp_path, capsys):
    made, again = tmp_path / "made.parquet", tmp_path / "again.parquet"
    sizes = {"experts": 8, "top-k": 2, "tokens": 300, "layers": 3, "zipf": 0.9, "seed": 4}
    words = [word for key, size in sizes.items() for word in (f"--{key}", str(size))]
    assert main(["trace", "make", *words, "--out", str(made)]) == 0
    assert main(["trace", "import", str(made), "--out", str(again)]) == 0
    first, second = (readers.read_parquet_trace(path) for path in (made, again))
    assert np.array_equal(first.expert_ids, second.expert_ids)
    assert (first.tokens, first.experts, first.top_k, first.layers) == (300, 8, 2, (0, 1, 2))


@pytest.mark.parametrize(
    "words",
    [
        ["model", "show", "mixtral-8x8b"],
        ["model", "show", "absent/config.json"],
        ["trace", "show", "absent.npz"],
        ["trace", "import", "absent.npz", "--out", "x.parquet"],
        ["trace", "make", "--experts", "4", "--top-k", "5", "--out", "x.parquet"],
        ["trace", "make", "--experts", "4", "--top-k", "2", "--seed", "-1", "--out", "x.parquet"],
        ["trace", "make", "--experts", "4", "--top-k", "2", "--out", "/proc/none/x.parquet"],
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_2(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_counts_are_not_imported_as_tokens(data_folder, tmp_path, capsys):
    file = data_folder / "fiddler_mixtral_popularity.json"
    out = tmp_path / "x.parquet"
    assert main(["trace", "import", str(file), "--part", "instruct", "--out", str(out)]) == 2
    assert "token-level" in capsys.readouterr().err
    assert not out.exists()
