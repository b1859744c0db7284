"""tune: different evaluations counted, a journal kept, a search taken up where it broke off."""

import json
from pathlib import Path

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.kernels.runners.recorded import CacheRunner
from moesaic.kernels.search import Recording, Teacher, tune
from moesaic.kernels.search.runner import Trial


def recorded(count=40, name="toy", device="here"):
    trials = [
        Trial(config={"x": x}, status="ok", seconds=1.0 + abs(x - 7) / 10)
        if x % 5
        else Trial(config={"x": x}, status="compile", reason="no")
        for x in range(count)
    ]
    about = {"kernel": "toy", "device": device}
    return Recording(name, about, "measured-published", trials)


class Counting(CacheRunner):
    """Counts, and stops like Ctrl-C when told."""

    def __init__(self, recording, stop_after=10**9):
        super().__init__(recording)
        self.rows, self.stop_after = [], stop_after

    def __call__(self, row):
        if len(self.rows) == self.stop_after:
            raise KeyboardInterrupt
        self.rows.append(row)
        return super().__call__(row)


def test_failed_configurations_count_and_the_best_is_one_that_ran():
    tuning = tune(CacheRunner(recorded()), "random", budget=40)
    assert len(tuning.trials) == 40
    assert sum(trial.status == "compile" for trial in tuning.trials) == 8
    assert tuning.best.config == {"x": 7}
    assert tuning.progress[-1] == 1.0
    assert (np.diff(tuning.progress[np.isfinite(tuning.progress)]) <= 0).all()


def test_the_budget_is_a_number_of_different_configurations():
    def stubborn(question):
        for row in (0, 0, 1, 1, 1, 2, 3, 4):
            _ = yield row

    runner = Counting(recorded())
    tuning = tune(runner, stubborn, budget=3)
    assert [trial.config["x"] for trial in tuning.trials] == [0, 1, 2]
    assert runner.rows == [0, 1, 2]
    assert tuning.strategy == "stubborn"


def test_a_strategy_that_only_repeats_itself_is_left():
    def stuck(question):
        while True:
            yield 5

    assert len(tune(CacheRunner(recorded()), stuck, budget=3).trials) == 1


def test_a_budget_beyond_the_space_ends_with_the_space():
    assert len(tune(CacheRunner(recorded(10)), "random", budget=100).trials) == 10


def test_every_trial_is_shown_as_it_ends():
    seen: list[Trial] = []
    tuning = tune(CacheRunner(recorded()), "random", budget=5, watch=seen.append)
    assert tuple(seen) == tuning.trials


@pytest.mark.parametrize("strategy", ["random", "ga", "guided"])
def test_a_search_that_was_broken_off_goes_on_without_measuring_again(tmp_path, strategy):
    journal = tmp_path / "search.jsonl"
    whole = tune(CacheRunner(recorded()), strategy, budget=20, seed=3)
    first = tune(Counting(recorded(), 8), strategy, budget=20, seed=3, journal=journal)
    assert first.stopped
    assert len(first.trials) == 8
    rest = Counting(recorded())
    second = tune(rest, strategy, budget=20, seed=3, journal=journal)
    assert second.trials == whole.trials
    assert len(rest.rows) == 12
    assert len(journal.read_text().splitlines()) == 1 + 20


def test_a_last_line_that_is_only_half_there_is_dropped(tmp_path):
    journal = tmp_path / "search.jsonl"
    whole = tune(CacheRunner(recorded()), "random", budget=6, journal=journal)
    journal.write_bytes(journal.read_bytes()[:-9])
    runner = Counting(recorded())
    assert tune(runner, "random", budget=6, journal=journal).trials == whole.trials
    assert len(runner.rows) == 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recording": recorded(30)}, "configurations"),
        ({"recording": recorded(name="other")}, "space toy, not other"),
        ({"recording": recorded(device="there")}, "about"),
        ({"strategy": "ga"}, "strategy random, not ga"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"predicted": np.ones(40)}, "knowledge"),
        ({"teachers": (Teacher(name="t", space=recorded().space, seconds=np.ones(40)),)}, "know"),
    ],
)
def test_the_journal_of_another_search_is_refused_in_one_sentence(tmp_path, change, words):
    journal = tmp_path / "search.jsonl"
    tune(CacheRunner(recorded()), "random", budget=3, journal=journal)
    asked = {"recording": recorded(), "strategy": "random", "budget": 3, "seed": 0, **change}
    runner = CacheRunner(asked.pop("recording"))
    before = journal.read_bytes()
    with pytest.raises(BadInput, match=words) as fault:
        tune(runner, asked.pop("strategy"), asked.pop("budget"), journal=journal, **asked)
    assert "\n" not in str(fault.value)
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["what is this\n", "{}\n", "no line end", '{"kind": 3}\n[1]\n', "[" * 10**5 + "\n"]
)
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, text):
    journal = tmp_path / "notes.txt"
    journal.write_text(text)
    with pytest.raises(BadInput, match="not a tuning journal"):
        tune(CacheRunner(recorded()), "random", budget=3, journal=journal)
    assert journal.read_text() == text


def test_a_damaged_line_within_the_journal_is_named(tmp_path):
    journal = tmp_path / "search.jsonl"
    tune(CacheRunner(recorded()), "random", budget=3, journal=journal)
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], '{"config": 3}', *lines[2:], ""]))
    with pytest.raises(BadInput, match="line 2 is not a trial"):
        tune(CacheRunner(recorded()), "random", budget=3, journal=journal)


def test_a_trial_of_a_configuration_that_the_space_lacks_is_named_with_its_file(tmp_path):
    journal = tmp_path / "search.jsonl"
    tune(CacheRunner(recorded()), "random", budget=1, journal=journal)
    with journal.open("a") as stream:
        stream.write('{"config": {"x": 777}, "status": "timeout"}\n')
    with pytest.raises(BadInput, match=r"search\.jsonl: line 3: no configuration of toy"):
        tune(CacheRunner(recorded()), "random", budget=3, journal=journal)


def test_a_full_disk_is_one_sentence_and_what_was_written_is_of_use(tmp_path, monkeypatch):
    journal = tmp_path / "search.jsonl"

    class Full(Counting):
        def __call__(self, row):
            if len(self.rows) == 4:
                monkeypatch.setattr(Path, "open", full)
            return super().__call__(row)

    def full(*_words, **_more):
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="cannot be written: No space left"):
        tune(Full(recorded()), "random", budget=9, journal=journal)
    monkeypatch.undo()
    rest = Counting(recorded())
    assert len(tune(rest, "random", budget=9, journal=journal).trials) == 9
    assert len(rest.rows) == 5


def test_a_search_in_which_nothing_ran_has_no_best():
    failed = [Trial(config={"x": x}, status="runtime", reason="crashed") for x in range(3)]
    runner = CacheRunner(Recording("bad", {}, "measured-here", failed))
    with pytest.raises(BadInput, match="none of 3 configurations ran; the last one: crashed"):
        _ = tune(runner, "random", budget=5).best


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(BadInput, match="budget"):
        tune(CacheRunner(recorded()), "random", budget=0)
