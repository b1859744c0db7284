"""The command opens what is asked for, answers bad input in a sentence, writes all or nothing."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from moesaic.cli.app import COMMANDS, EXAMPLES, main

ROOT = Path(__file__).parents[2]


def test_help_opens_no_command_and_no_heavy_library():
    code = (
        "import sys; from moesaic.cli.app import main; main(['--help']);"
        "heavy = {'numpy', 'typer', 'matplotlib', 'numba', 'duckdb', 'pandas', 'ortools', 'cupy'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


def test_every_example_of_the_help_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    for example in EXAMPLES:
        words = example.replace("map.json", str(tmp_path / "map.json")).split()
        assert main(words[1:]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert "completion" not in capsys.readouterr().out
    command = get_command(importlib.import_module(f"moesaic.cli.{COMMANDS[name].file}").app)
    inner = getattr(command, "commands", {})
    told = {f"{name} {sub}": one.help for sub, one in inner.items()} or {name: command.help}
    assert [words for words, text in told.items() if f"moesaic {words}" not in text] == []


def test_module_and_script_are_one(capsys):
    done = subprocess.run(
        [sys.executable, "-m", "moesaic", "--version"], capture_output=True, text=True, check=True
    )
    assert main(["--version"]) == 0
    assert done.stdout == capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["estimat"], "did you mean estimate"),
        (["estimate", "mixtral-8x7", "--on", "dgx-h100", "--batch", "1"], "mixtral-8x7b"),
        (["estimate", "mixtral-8x7b", "--on", "dgx-h10", "--batch", "1"], "dgx-h100"),
        (["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--batch", "1,x"], "--batch"),
        (["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--tp", "2"], "no token"),
        (["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--batch", "1"], "too much"),
        (["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--tp", "3", "--batch", "1"], "tp"),
        (["estimate", "mixtral-8x7b", "--on", "h100-sxm", "--tp", "2", "--batch", "1"], "devices"),
        (
            ["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--weights", "fp9", "--batch", "1"],
            "fp8",
        ),
        (
            ["estimate", "olmoe-1b-7b", "--on", "h100-sxm", "--batch", "1", "--detail", "deep"],
            "known: bound",
        ),
        (["simulate", "olmoe-1b-7b", "--on", "h100-sxm"], "no token"),
        (["compare", "--what", "moo"], "moe"),
        (["compare", "--what", "moe", "--on", "h100"], "h100-sxm"),
        (["compare", "--what", "moe", "--on", "h100-sxm", "--model", "roof"], "roofline"),
        (["run", "missing.toml"], "missing.toml"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words, told, capsys):
    assert main(words) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert shown.err.startswith("moesaic: ")
    assert shown.err.count("\n") == 1


def test_words_that_no_option_knows_are_refused(capsys):
    assert main(["estimate", "mixtral-8x7b", "--onn", "dgx-h100"]) == 2
    assert "--on" in capsys.readouterr().err


def test_an_unwritable_place_leaves_nothing(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "x.json"
    words = ["estimate", "olmoe-1b-7b", "--on", "h100-sxm", "--batch", "1", "--out", str(out)]
    assert main(words) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_estimate_prints_terms_that_add_up(capsys):
    words = ["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--tp", "2", "--batch", "1,16"]
    assert main([*words, "--context", "2048", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["batch"] for result in results] == [1, 16]
    for result in results:
        assert sum(result["why"].values()) == pytest.approx(result["seconds"], rel=1e-12)
        assert result["evidence"] == "bound"


def test_among_several_batches_the_ones_that_fit_are_answered(capsys):
    words = ["estimate", "mixtral-8x7b", "--on", "dgx-h100", "--tp", "2", "--batch", "1,100000"]
    assert main([*words, "--context", "2048", "--json"]) == 0
    shown = capsys.readouterr()
    assert [result["batch"] for result in json.loads(shown.out)] == [1]
    assert "batch 100000 left out" in shown.err


def test_simulate_writes_a_trace_that_perfetto_reads(tmp_path, capsys):
    out = tmp_path / "step.json"
    words = ["simulate", "olmoe-1b-7b", "--on", "dgx-h100", "--dp", "4", "--ep", "4"]
    assert main([*words, "--batch", "64", "--context", "100", "--out", str(out)]) == 0
    events = json.loads(out.read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X"}
    assert "busy" in capsys.readouterr().out
