"""Does a run survive what kills it, and are the rows those of one that nothing disturbed?"""

import importlib.util
import os
import random
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("sweep_stand_in.py")
HELD = runpy.run_path(str(PROGRAM))
SPACE, contents = HELD["SPACE"], HELD["contents"]
BOUND = SPACE[: SPACE.index("[finer]")]
"""The same without a closer look: quick to begin."""
FEW = BOUND.replace("to = 40", "to = 8")
"""240 points, in 24 tasks where they are computed ten at a time."""


def words(*given):
    return [sys.executable, str(PROGRAM), *map(str, given)]


def run(*given, code=0):
    done = subprocess.run(words(*given), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(BOUND)
    return path


@pytest.fixture(scope="module")
def climbing(tmp_path_factory):
    """A space that is looked at more closely, and served."""
    path = tmp_path_factory.mktemp("climbing") / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def climbed(climbing, tmp_path_factory):
    folder = tmp_path_factory.mktemp("climbed") / "run"
    run(folder, climbing)
    return contents(folder)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    path = tmp_path_factory.mktemp("few") / "space.toml"
    path.write_text(FEW)
    return path


@pytest.fixture(scope="module")
def undisturbed(few, tmp_path_factory):
    """The files of a run over few points that nothing disturbed, in one process."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, few, "--chunk", 10)
    return contents(folder)


def begun(folder, space, jobs, lines, chunk=50, nap=0.03):
    """A slowed run in a session of its own, when it has told its progress so many times."""
    with folder.with_suffix(".said").open("w") as said:
        process = subprocess.Popen(
            words(folder, space, "--jobs", jobs, "--chunk", chunk, "--nap", nap),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    assert process.stdout
    for _ in range(lines):
        process.stdout.readline()
    return process


def living(process):
    """The processes of its session that are no zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == process.pid and state != "Z":
            found.append(stat.parent.name)
    return found


def ended(process):
    """Its exit code, after all that it began has ended too."""
    process.stdout.close()
    code = process.wait(20)
    deadline = time.monotonic() + 10
    while living(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(process) == []
    return code


def test_a_run_that_is_killed_then_interrupted_is_resumed_to_the_same_bytes(
    few, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    # The naps leave a busy machine time to stop it before its end.
    process = begun(folder, few, 2, lines=4, chunk=10, nap=0.1)
    process.kill()
    assert ended(process) == -signal.SIGKILL
    after_kill = contents(folder)
    process = begun(folder, few, 2, lines=4, chunk=10, nap=0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers hear it too
    assert ended(process) == 130
    kept = contents(folder)
    assert after_kill.items() < kept.items() < undisturbed.items()
    run(folder, "--chunk", 10)
    assert contents(folder) == undisturbed


def test_a_killed_worker_loses_only_what_was_in_flight(few, undisturbed, tmp_path):
    folder = tmp_path / "run"
    run(folder, few, "--jobs", 2, "--chunk", 10, "--deadly", 133, "--marker", tmp_path / "killed")
    assert (tmp_path / "killed").exists()
    assert contents(folder) == undisturbed


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_named_and_all_others_are_kept(space, tmp_path):
    folder = tmp_path / "run"
    said = run(folder, space, "--jobs", 2, "--deadly", 333, code=2).stderr
    assert said.startswith("bound/all-000006 (points 300 to 349) killed its worker three times")
    assert "Traceback" not in said
    assert sum(name.startswith("bound") for name in contents(folder)) == 23


def test_a_disk_that_takes_no_more_bytes_is_told_and_nothing_half_written(space, tmp_path):
    """No file may grow beyond so many bytes: the kernel refuses the write, as of a full disk."""
    folder = tmp_path / "run"
    said = run(folder, space, "--largest-file", 12_500, "--chunk", 1000, code=2).stderr
    assert "cannot be written: file too large; what is finished stays: free some space" in said
    assert f"`moesaic sweep resume {folder}`" in said
    files = [p for p in folder.rglob("*") if p.is_file() and ".locks" not in p.parts]
    assert {p.name for p in files} == {"space.toml", "sweep.json", ".origin"}


@pytest.mark.slow
def test_one_two_and_four_workers_give_the_same_bytes(climbing, climbed, tmp_path):
    for jobs in (2, 4):
        run(tmp_path / f"{jobs}", climbing, "--jobs", jobs)
        assert contents(tmp_path / f"{jobs}") == climbed


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: pip install 'moesaic[dask]'",
)
def test_a_local_dask_cluster_gives_the_same_bytes_and_names_what_kills_its_workers(
    climbing, climbed, tmp_path
):
    run(tmp_path / "run", climbing, "--jobs", 2, "--engine", "dask")
    assert contents(tmp_path / "run") == climbed
    said = run(
        tmp_path / "deadly", climbing, "--jobs", 2, "--engine", "dask", "--deadly", 333, code=2
    )
    assert "bound/all-000006 (points 300 to 349) killed its worker three times" in said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_twenty_random_interruptions_leave_the_rows_of_an_undisturbed_run(
    climbing, climbed, tmp_path, seed
):
    """Killed, or interrupted, up to three times at random moments; then brought to its end."""
    draw = random.Random(seed)
    folder, jobs = tmp_path / "run", draw.choice((1, 2))
    said = folder.with_suffix(".said")
    for _ in range(draw.randint(1, 3)):
        how = draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        # Ctrl-C while Python still imports ends it by its own rules, as kill -9 does.
        process = begun(folder, climbing, jobs, lines=draw.randint(how == signal.SIGINT, 12))
        time.sleep(draw.random() * 0.2)
        process.send_signal(how)
        assert ended(process) in (130 if how == signal.SIGINT else -how, 0), said.read_text()
    run(folder, climbing, "--jobs", jobs)
    assert contents(folder) == climbed
