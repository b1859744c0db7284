"""moesaic serve: does it answer in tables and JSON, draw, and refuse in a sentence?"""

from __future__ import annotations

import json
import sys

import pytest

from moesaic.cli.app import main

RUN = ["serve", "run", "olmoe-1b-7b", "--on", "duplex", "--prompt", "64", "--output", "40"]


def test_a_closed_loop_is_answered_for_each_batch(capsys):
    assert main([*RUN, "--requests", "60", "--batch", "4,8", "--json"]) == 0
    few, many = json.loads(capsys.readouterr().out)
    assert many["tokens_per_s"] > few["tokens_per_s"]
    assert few["batch_mean"] == 4
    assert few["evidence"] == "bound"
    for row in (few, many):
        assert 0 < row["tbt_s"]["p50"] <= row["tbt_s"]["p99"] <= row["e2e_s"]["p50"]
        assert row["queueing_s"]["p99"] == 0
        assert row["energy_j_per_token"] > 0


def test_arrivals_queue_and_the_run_is_drawn(capsys, tmp_path):
    plot, out = tmp_path / "run.svg", tmp_path / "run.json"
    words = ["--requests", "80", "--rate", "2000", "--batch", "4", "--scheduler", "chunked"]
    assert main([*RUN, *words, "--plot", str(plot), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "queueing" in shown.out
    assert "chunked, 2000 requests/s" in shown.out
    assert json.loads(out.read_text())[0]["queueing_s"]["mean"] > 0
    assert plot.read_text().count("<svg") == 1
    assert "matplotlib" in sys.modules


def test_a_recorded_trace_brings_its_own_arrivals(capsys, tmp_path):
    trace = tmp_path / "requests.csv"
    trace.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,3\n100,7,2\n")
    assert main([*RUN, "--trace", str(trace), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["stages"] == 5
    assert row["queueing_s"]["p99"] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--batch", "0"], "--batch: must be at least 1"),
        (["--batch", "1,2", "--plot", "x.png"], "--plot: draws one batch"),
        (["--detail", "cycles"], "did you mean cycle"),
        (["--units", "rule"], "--units: goes with --detail cycle"),
        (["--scheduler", "chunk"], "did you mean chunked"),
        (["--trace", "x.csv", "--rate", "3"], "--trace: goes without --rate"),
        (["--rate", "1e-300"], "--rate: must be a number of at least 1e-06"),
        (["--plot", "x.foo"], "--plot: must be a .png or .svg"),
        (["--budget", "64"], "--budget: goes with --scheduler chunked"),
        (["--scheduler", "chunked", "--budget", "9", "--batch", "9"], "--budget: must exceed 9"),
        (["--prompt", "0"], "prompt_mean: must lie between"),
        (["--prompt", "4000000", "--requests", "3"], "too much"),
        (["--prompt", "500000", "--requests", "3"], "can never be served"),
    ],
)
def test_bad_input_is_one_sentence(capsys, words, says):
    assert main([*RUN, *words]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.out == ""
