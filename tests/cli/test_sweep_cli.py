"""Does `moesaic sweep` plan, run, go on and answer, and say what is wrong in a sentence?"""

import json

import pytest

from moesaic.cli.app import main
from moesaic.cli.sweep_progress import Meter, lasting
from moesaic.sweeps.design.run import Progress

SPACE = """
title = "Mixtral by batch"

[fixed]
model = "mixtral-8x7b"
context = 2048

[axes]
on = ["dgx-h100", "h100-sxm"]
batch = { from = 1, to = 64, factor = 2 }

[objectives]
minimise = ["tpot_s"]
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def folder(space):
    """A finished run of 14 points."""
    out = space.parent / "run"
    assert main(["sweep", "run", str(space), "--jobs", "1", "--out", str(out)]) == 0
    return out


def test_a_plan_says_points_words_objectives_time_and_disk(space, capsys):
    assert main(["sweep", "plan", str(space), "--jobs", "2"]) == 0
    shown = capsys.readouterr().out
    for part in ("14 points", "batch", "minimise tpot_s", "under 1 s", "kB", "● measured-here"):
        assert part in shown
    assert main(["sweep", "plan", str(space), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points"] == 14
    assert told["axes"] == {"on": 2, "batch": 7}
    assert told["stages"][0]["bytes"] > 0


def test_a_run_tells_its_plan_and_progress_on_the_error_stream(space, tmp_path, capsys):
    words = ["sweep", "run", str(space), "--jobs", "1", "--out", str(tmp_path / "a")]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Mixtral by batch: 14 points, some under 1 s, ")
    assert "bound: 14 of 14 points" in told.err
    assert "moesaic sweep front" in told.err
    assert main(words) == 0  # the same command goes on: nothing is left to do
    assert "some" not in capsys.readouterr().err


def test_an_answer_is_a_table_or_json_or_a_file(folder, tmp_path, capsys):
    asked = 'SELECT "on", min(tpot_s) AS tpot_s FROM points GROUP BY 1 ORDER BY 1'
    assert main(["sweep", "query", asked, str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "dgx-h100" in shown
    assert "tpot_s ▽" in shown
    assert "▽ bound" in shown
    assert main(["sweep", "query", asked, str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["columns"]["tpot_s"] == {"unit": "s", "evidence": "bound"}
    assert [row["on"] for row in told["rows"]] == ["dgx-h100", "h100-sxm"]
    out = tmp_path / "answer.json"
    csv = tmp_path / "answer.csv"
    assert main(["sweep", "query", asked, str(folder), "--out", str(out), "--csv", str(csv)]) == 0
    assert json.loads(out.read_text()) == told
    assert csv.read_text().startswith("on,tpot_s\ndgx-h100,")


def test_a_shard_says_what_comes_after_it(space, tmp_path, capsys):
    out = str(tmp_path / "a")
    assert main(["sweep", "run", str(space), "--jobs", "1", "--out", out, "--shard", "1/2"]) == 0
    assert f"shard 1/2 is finished; when all of them are: `moesaic sweep resume {out}`" in (
        capsys.readouterr().err
    )
    assert main(["sweep", "resume", out, "--jobs", "1"]) == 0
    assert "finished; ask it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "SPACE", "--out", "OUT", "--jobs", "0"], "--jobs: must be a number of processes"),
        (["run", "SPACE", "--out", "OUT", "--shard", "3"], "such as 3/64"),
        (["run", "SPACE", "--out", "OUT", "--scheduler", "x"], "is of --engine dask"),
        (["run", "nowhere.toml", "--out", "OUT"], "nowhere.toml: cannot be read"),
        (["run", "SPACE", "--out", "FULL"], "holds files that are no run's (notes.txt)"),
        (["resume", "OUT"], "is no folder; name the folder of a run"),
        (["resume", "FULL"], "is no run: it holds no sweep.json"),
        (["query", "FROM points", "FULL"], "is no run: it holds no sweep.json"),
        (["query", "SELECT tpot FROM points", "RUN"], "did you mean tpot_s"),
        (["query", "FROM points", "RUN", "--out", "OUT.xls"], "must end in .parquet or .csv"),
        (["query", "FROM points", "RUN", "--csv", "OUT.txt"], "must end in .csv"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(
    folder, space, tmp_path, capsys, words, why
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    names = {"SPACE": space, "OUT": tmp_path / "out", "FULL": tmp_path / "full", "RUN": folder}
    for name, path in names.items():
        words = [word.replace(name, str(path)) for word in words]
    assert main(["sweep", *words]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "query", "FROM points", "RUN", "--out", "RUN/sweep.json"],
        ["sweep", "query", "FROM points", "RUN", "--out", "RUN/bound/all-000000.parquet"],
        ["sweep", "query", "FROM points", "RUN", "--csv", "RUN/report/../new/a.csv"],
        ["report", "RUN", "--out", "RUN"],
        ["report", "RUN", "--out", "RUN/bound"],
        ["sweep", "run", "SPACE", "--out", "RUN/bound"],
    ],
)
def test_nothing_is_written_among_the_files_of_a_run(folder, space, capsys, words):
    def held():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = held()
    given = [word.replace("RUN", str(folder)).replace("SPACE", str(space)) for word in words]
    assert main(given) == 2
    assert f"lies in the folder of a run, {folder}, which" in capsys.readouterr().err
    assert held() == before


def test_an_answer_may_lie_beside_a_run_s_report(folder, capsys):
    out = folder / "report" / "a.csv"
    assert main(["sweep", "query", "FROM points", str(folder), "--out", str(out)]) == 0
    assert out.read_text().count("\n") == 15


@pytest.mark.parametrize(
    "words", [["run", "SPACE", "--out", "LONG"], ["resume", "LONG"], ["front", "LONG"]]
)
def test_a_name_that_is_too_long_is_told(space, capsys, words):
    given = [word.replace("SPACE", str(space)).replace("LONG", "n" * 302) for word in words]
    assert main(["sweep", *given]) == 2
    assert "file name too long" in capsys.readouterr().err


def test_every_help_holds_an_example(capsys):
    for verb in ("plan", "run", "resume", "query"):
        assert main(["sweep", verb, "--help"]) == 0
        assert f"Example: moesaic sweep {verb}" in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(space, tmp_path, capsys, monkeypatch):
    from moesaic.sweeps.design import run as runs

    def broken(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run", broken)
    out = tmp_path / "a"
    assert main(["sweep", "run", str(space), "--jobs", "1", "--out", str(out)]) == 130
    assert f"`moesaic sweep resume {out}` goes on" in capsys.readouterr().err


def test_rate_and_time_left_are_those_of_what_this_run_computed():
    clock = iter((5.0, 15.0))
    meter = Meter(lambda: next(clock))
    told = [meter.line(Progress("bound", done, 4000, 10_000)) for done in (4000, 4500, 5500)]
    assert told == [
        "bound: 4,000 of 10,000 points are there already",
        "bound: 4,500 of 10,000 points",
        "bound: 5,500 of 10,000 points, 100 points/s, 45 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (8, "8 s"), (200, "3 min"), (7500, "2 h 5 min"), (3e5, "3 days")],
)
def test_waits_are_told_as_people_tell_them(seconds, text):
    assert lasting(seconds) == text
