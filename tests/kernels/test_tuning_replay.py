"""Searches replayed on the recorded spaces: what guided reaches, and how it is shown."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from moesaic.base import BadInput
from moesaic.cli.tune import app
from moesaic.kernels.runners.recorded import CacheRunner
from moesaic.kernels.search import Trial, recorded_space, replay, teachers_of, tune
from moesaic.kernels.search.recording import Recording
from moesaic.sweeps.plots.style import svg
from moesaic.sweeps.plots.tuning import fraction_of_optimum

TRANSFER = {  # after 25 and 50, as the reference of the yardstick gives them, rounded
    "convolution-a100": (0.68, 0.89),
    "convolution-a4000": (0.79, 1.0),
    "gemm-rtx3090": (0.91, 0.94),
    "gemm-rtx2080ti": (0.94, 0.94),
}


def on(name, strategies, seeds, budget=50, jobs=1):
    space = recorded_space(name)
    teachers = [one.teacher for one in teachers_of(space)]
    return replay(space, strategies, seeds, budget, teachers, jobs)


@pytest.mark.parametrize(("name", "expected"), TRANSFER.items())
def test_transfer_is_the_yardstick(name, expected):
    (found,) = on(name, ["transfer"], seeds=1)
    assert [round(found.mean_at(mark), 2) for mark in (25, 50)] == list(expected)


def test_guided_finds_the_best_of_a_convolution_where_transfer_has_not():
    guided, transfer = on("convolution-a4000", ["guided", "transfer"], seeds=2, budget=25)
    assert guided.mean_at(25) == 1.0 > transfer.mean_at(25)


@pytest.mark.slow
def test_guided_beats_transfer_on_all_four_spaces():
    at_25: list[float] = []
    at_50: list[float] = []
    for name in TRANSFER:
        guided, transfer = on(name, ["guided", "transfer"], seeds=20, jobs=-1)
        for mark, values in ((25, at_25), (50, at_50)):
            values.append(guided.mean_at(mark))
            assert values[-1] > transfer.mean_at(mark) or values[-1] == 1.0, (name, mark)
    assert np.mean(at_25) >= 0.88
    assert np.mean(at_50) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convolution-a100", "gemm-rtx2080ti"])
def test_guided_without_teachers_beats_random_search(name):
    guided, random = replay(recorded_space(name), ["guided", "random"], seeds=10, budget=50)
    assert guided.mean_at(50) > random.mean_at(50) + 0.05


def test_fractions_grow_to_at_most_one_and_processes_change_nothing():
    alone = on("convolution-mi250x", ["random", "ga"], seeds=3, budget=40)
    beside = on("convolution-mi250x", ["random", "ga"], seeds=3, budget=40, jobs=2)
    for one, other in zip(alone, beside, strict=True):
        assert one.fractions.shape == (3, 40)
        assert (np.diff(one.fractions, axis=1) >= 0).all()
        assert one.fractions.max() <= 1
        assert (one.fractions == other.fractions).all()


@pytest.mark.parametrize("name", ["guided", "ga", "bo", "transfer"])
def test_what_was_not_asked_for_is_not_seen(name):
    """Every time that a search did not ask for could be any other: it asks the same."""
    space = recorded_space("convolution-a4000")
    teachers = [one.teacher for one in teachers_of(space)]
    told = tune(CacheRunner(space), name, budget=30, teachers=teachers)
    asked = [trial.config for trial in told.trials]
    rng = np.random.default_rng(0)
    trials = [
        trial
        if trial.config in asked
        else Trial(config=trial.config, status="ok", seconds=rng.random() + 1e-9)
        for trial in space.trials
    ]
    other = Recording(space.name, space.about, space.evidence, trials)
    again = tune(CacheRunner(other), name, budget=30, teachers=teachers)
    assert [trial.config for trial in again.trials] == asked


def test_a_number_of_processes_that_is_none_is_refused():
    with pytest.raises(BadInput, match="processes"):
        replay(recorded_space("convolution-a100"), ["random"], seeds=1, budget=5, jobs=0)


def test_a_strategy_without_what_it_needs_is_refused_before_anything_runs():
    with pytest.raises(BadInput, match="teachers"):
        replay(recorded_space("convolution-a100"), ["random", "transfer"], seeds=1, budget=5)
    with pytest.raises(BadInput, match="at least one strategy"):
        replay(recorded_space("convolution-a100"), [], seeds=1, budget=5)


def test_the_plot_has_a_panel_for_each_space_and_a_line_for_each_strategy():
    done = on("convolution-a100", ["random", "ga"], 2) + on("gemm-rtx3090", ["random", "ga"], 2)
    drawn = fraction_of_optimum(done, {"gemm-rtx3090": "GEMM"})
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["convolution-a100", "GEMM"]
    lines = {line.get_label(): line for line in shown[0].get_lines()}
    assert np.asarray(lines["ga"].get_ydata()) == pytest.approx(done[1].fractions.mean(axis=0))
    assert svg(drawn) == svg(fraction_of_optimum(done, {"gemm-rtx3090": "GEMM"}))


def test_the_command_shows_a_table_and_writes_plot_and_facts(tmp_path):
    words = ["replay", "convolution-a100", "convolution-a4000", "--strategy", "random,transfer"]
    words += ["--seeds", "2", "--budget", "30", "--jobs", "1", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for word in ("A100-PCIE-40GB", "0.023% within 5%", "measured-published", "Mean over", "0.679"):
        assert word in result.output
    facts = json.loads((tmp_path / "replay.json").read_text())
    assert facts[0]["taught_by"] == ["convolution-a4000", "convolution-mi250x"]
    assert facts[0]["strategies"][1]["at"]["25"]["mean"] == pytest.approx(0.679, abs=1e-3)
    assert (tmp_path / "replay.png").stat().st_size > 10_000
    assert (tmp_path / "replay.svg").read_text().startswith("<?xml")


def test_the_command_takes_files_and_teachers_by_name(tmp_path):
    text = "a,b,time_ms\n" + "".join(f"{a},{b},{a + b + 1}\n" for a in range(4) for b in range(4))
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    mine.write_text(text)
    other.write_text(text.replace("3,3,7", "3,3,9"))
    words = ["replay", str(mine), "--strategy", "transfer", "--seeds", "1", "--jobs", "1", "--json"]
    result = CliRunner().invoke(app, [*words, "--teachers", str(other)])
    (facts,) = json.loads(result.stdout)
    assert facts["taught_by"] == ["other"]
    assert facts["strategies"][0]["mean_fraction"][0] == 1.0


def test_a_space_of_one_configuration_is_shown_and_drawn(tmp_path):
    (tmp_path / "one.csv").write_text("a,time_ms\n1,2\n")
    words = ["replay", str(tmp_path / "one.csv"), "--jobs", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "1 configurations, 100% within 5% of the best" in result.output


def test_two_files_of_one_name_are_not_taken_for_one_space(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.csv").write_text("a,time_ms\n1,1\n2,2\n")
    words = [str(tmp_path / folder / "mine.csv") for folder in ("one", "two")]
    result = CliRunner().invoke(app, ["replay", *words, "--jobs", "1"])
    assert isinstance(result.exception, BadInput)
    assert "mine: two files have this name" in str(result.exception)


@pytest.mark.parametrize(
    ("teachers", "words"),
    [
        ("gemm-rtx3090", "is of the kernel gemm"),
        ("convolution-a100", "the very times"),
        (",", "names no space"),
        ("convolution-a10", "did you mean"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(teachers, words):
    result = CliRunner().invoke(app, ["replay", "convolution-a100", "--teachers", teachers])
    assert isinstance(result.exception, BadInput)
    assert words in str(result.exception)
