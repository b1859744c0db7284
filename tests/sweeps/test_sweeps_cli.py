"""Do the commands that ask sweeps, estimates and timelines answer people and programs?"""

import json

import pytest

from moesaic.cli.app import main

MODEL = ["olmoe-1b-7b", "--on", "dgx-h100", "--dp", "2", "--ep", "2", "--context", "512"]


def answered(capsys, *words):
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_compare_prints_bands_with_their_evidence(capsys):
    out = answered(capsys, "compare", "--what", "gemm", "--on", "l40s", "--by", "dtype")
    assert all(band in out for band in ("all", "T <= 64", "T > 1024", "dtype bf16"))
    assert "predicted: bound; measured: measured-published" in out


def test_compare_as_json(capsys):
    data = json.loads(answered(capsys, "compare", "--what", "gemm", "--on", "l40s", "--json"))
    assert (data["what"], data["on"], data["predicted"]) == ("gemm", "l40s", "bound")
    whole, *bands = data["errors"]
    assert whole["rows"] == sum(band["rows"] for band in bands)


def test_compare_writes_a_report(capsys, tmp_path):
    words = ["compare", "--what", "gemm", "--on", "l40s", "--json", "--out", str(tmp_path / "out")]
    json.loads(answered(capsys, *words))
    files = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {"gemm-l40s-roofline.png", "gemm-l40s-roofline-map.png"}
    assert files == {"index.html", "report.md", "results.json", *pictures}


def test_estimate_as_json_sums_to_its_seconds(capsys, tmp_path):
    words = ["estimate", *MODEL, "--batch", "1,64", "--json", "--out", str(tmp_path / "e.json")]
    first, second = data = json.loads(answered(capsys, *words))
    for row in data:
        assert sum(row["why"].values()) == pytest.approx(row["seconds"])
        assert row["evidence"] == "bound"
    assert (first["batch"], second["batch"]) == (1, 64)
    assert second["tokens_per_s"] > first["tokens_per_s"]
    assert json.loads((tmp_path / "e.json").read_text()) == data


def test_estimate_leaves_out_the_batch_that_does_not_fit(capsys):
    assert main(["estimate", *MODEL, "--batch", "1,100000000", "--json"]) == 0
    shown = capsys.readouterr()
    assert [row["batch"] for row in json.loads(shown.out)] == [1]
    assert "batch 100000000 left out" in shown.err


def test_simulate_as_json_and_as_a_trace(capsys, tmp_path):
    out = tmp_path / "step.json"
    words = ["simulate", *MODEL, "--batch", "8", "--json", "--out", str(out)]
    data = json.loads(answered(capsys, *words))
    assert data["evidence"] == "simulated"
    assert all(0 <= share <= 1 for lane in data["busy"].values() for share in lane)
    assert json.loads(out.read_text())["traceEvents"]


def test_weights_in_another_format_are_read_faster(capsys):
    wide, narrow = (
        json.loads(answered(capsys, "estimate", *MODEL, "--batch", "1", "--json", *more))[0]
        for more in ([], ["--weights", "int4"])
    )
    assert narrow["seconds"] < 0.5 * wide["seconds"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["compare", "--what", "moe"], "name the device"),
        (["compare", "--what", "power"], "name the GPU"),
        (["compare", "--what", "power", "--on", "h100-sxm"], "power table"),
        (["compare", "--what", "power", "--on", "b200-sxm", "--cv", "shape"], "one model"),
        (["compare", "--what", "moe,power", "--on", "b200-sxm"], "ask for it alone"),
        (["compare", "--what", "gemm", "--on", "l40s", "--by", "nope"], "no column"),
        (["compare", "--what", "gemm", "--on", "l40s", "--by", "latency_s"], "values"),
        (["compare", "--what", "gemm", "--on", "l40s", "--seed", "-1"], "negative"),
        (["compare", "--what", "gemm", "--measured", "nowhere"], "no folder"),
        (["estimate", *MODEL, "--batch", "1,,"], "whole numbers"),
        (["estimate", *MODEL, "--batch", "-1"], "negative"),
        (["estimate", *MODEL, "--batch", "1", "--detail", "fine"], "no detail"),
        (["estimate", *MODEL, "--batch", "1", "--weights", "fp7"], "did you mean"),
        (["estimate", *MODEL, "--batch", "1", "--pp", "0"], "at least 1"),
        (["simulate", *MODEL], "no token"),
        (["simulate", *MODEL, "--batch", "-1"], "negative"),
        (["run", "nowhere.toml"], "no such file"),
    ],
)
def test_bad_words_are_refused_in_one_sentence(capsys, words, told):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""
