"""A runner in a process of its own: whatever a configuration does, the next one is answered."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from moesaic.base import BadInput
from moesaic.kernels.runners.isolated import Isolated

ANSWERS, CRASHES, LEAVES, HANGS, REFUSES, STUMBLES = range(6)
HERE = str(Path(__file__).parent)


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("odd_runner")


def gone(pid):
    """Whether a process has ended; one that nobody has asked for its end is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def soon(holds, within_s=10.0):
    end = time.monotonic() + within_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def test_what_the_runner_says_comes_back_and_its_process_lives_on(odd):
    with Isolated(odd.Odd, 30) as runner:
        assert runner.space.parameters == odd.Odd.space.parameters
        assert (runner.about, runner.evidence) == ({"kernel": "odd"}, "measured-here")
        assert [runner(ANSWERS).seconds for _ in range(3)] == [1, 2, 3]


def test_crashes_exits_and_exceptions_are_trials_and_the_next_meets_a_fresh_process(odd):
    with Isolated(odd.Odd, 30) as runner:
        runner(ANSWERS)
        for row, reason in (
            (CRASHES, "crashed with SIGSEGV"),
            (LEAVES, "ended its process with exit code 3"),
            (STUMBLES, "raised ArithmeticError: the first line"),
        ):
            trial = runner(row)
            assert (trial.status, trial.reason) == ("runtime", reason)
            assert (trial.config, trial.seconds) == ({"does": row}, float("inf"))
            assert runner(ANSWERS).seconds == 1


def test_what_hangs_is_stopped_with_all_that_it_started(odd, tmp_path):
    note = tmp_path / "note"
    with Isolated(partial(odd.Odd, str(note)), limit_s=1) as runner:
        trial = runner(HANGS)
        assert (trial.status, trial.reason) == ("timeout", "was stopped after 1 s")
        assert soon(lambda: all(gone(pid) for pid in note.read_text().split()))
        assert runner(ANSWERS).status == "ok"


def test_a_fault_of_the_user_is_told_as_it_is(odd):
    with Isolated(odd.Odd, 30) as runner, pytest.raises(BadInput) as told:
        runner(REFUSES)
    assert (told.value.key, str(told.value)) == ("does", "does: is not for this machine (got 4)")


def test_a_runner_that_cannot_be_made_says_why(odd):
    with pytest.raises(BadInput, match="has no compiler"):
        Isolated(odd.broken, 30)
    with pytest.raises(BadInput, match="cannot be started: ended its process with exit code 1"):
        Isolated(odd.dying, 30)
    with pytest.raises(BadInput, match="above 0"):
        Isolated(odd.Odd, 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_nothing_is_left_behind_when_the_one_who_asks_ends(how, tmp_path):
    note, main = tmp_path / "note", tmp_path / "main.py"
    main.write_text(
        textwrap.dedent(f"""\
        import sys
        sys.path.insert(0, {HERE!r})
        from functools import partial
        from moesaic.kernels.runners.isolated import Isolated
        from odd_runner import Odd

        if __name__ == "__main__":
            try:
                with Isolated(partial(Odd, {str(note)!r}), 600) as runner:
                    runner({HANGS})
            except KeyboardInterrupt:
                print("interrupted")
        """)
    )
    asking = subprocess.Popen(
        [sys.executable, str(main)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert soon(lambda: note.exists() and len(note.read_text().split()) == 2, 30)
    os.killpg(asking.pid, how)  # as a terminal does: everybody of the group
    said, _ = asking.communicate(timeout=20)
    assert said.decode() == ("interrupted\n" if how == signal.SIGINT else "")
    asked, _ = note.read_text().split()
    assert soon(lambda: gone(asked))
