"""Is a run the same files whoever computes it, in whatever order, and however often it stops?"""

import json
import os
import runpy
import signal
from pathlib import Path

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.base.parquet import metadata
from moesaic.sweeps.design import run as runs
from moesaic.sweeps.design.folder import claimed, create, opened
from moesaic.sweeps.design.forecast import check_room, forecast
from moesaic.sweeps.design.locks import WHOLE, Shard, locked, shard_of
from moesaic.sweeps.design.store import Store

HELD = runpy.run_path(str(Path(__file__).with_name("sweep_stand_in.py")))
SPACE, StandIn, contents = HELD["SPACE"], HELD["StandIn"], HELD["contents"]


@pytest.fixture
def space(tmp_path, monkeypatch):
    """The file of a space of 1200 points, in chunks of 100."""
    monkeypatch.setitem(runs.CHUNK, "bound", 100)
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def whole(space, tmp_path):
    """A folder with a finished run."""
    return ran(create(tmp_path / "whole", space))


def ran(folder, **asked):
    runs.run(folder, evaluate=StandIn(), **asked)
    return folder


def stopping(chunks):
    """Evaluates so many chunks, then is interrupted."""
    evaluate, left = StandIn(), iter(range(chunks))

    def evaluated(*words):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return evaluate(*words)

    return evaluated


def test_a_run_looks_at_all_then_at_the_best_more_closely_then_serves_the_front(whole):
    names = {stage: len(whole.files(stage)) for stage in ("bound", "finer", "served")}
    assert names == {"bound": 12, "finer": 4, "served": 5}
    store = Store(whole.path)
    rows = {s: store.read(whole.files(s), ["point", "tpot_s"]) for s in names}
    assert rows["bound"]["point"].size == whole.space.columns(0, 1200)["point"].size < 1200
    at = np.searchsorted(rows["bound"]["point"], rows["finer"]["point"])
    np.testing.assert_allclose(rows["finer"]["tpot_s"], 1.2 * rows["bound"]["tpot_s"][at])


def test_the_same_run_in_another_place_is_the_same_bytes(whole, space, tmp_path):
    there = tmp_path / "elsewhere"
    there.mkdir()
    (there / "other.toml").write_bytes(space.read_bytes())
    again = ran(create(there / "again", there / "other.toml"))
    assert contents(again.path) == contents(whole.path)


@pytest.mark.parametrize("chunks", [0, 5, 12, 14, 17])
def test_a_run_that_was_interrupted_goes_on_to_the_same_bytes(whole, space, tmp_path, chunks):
    folder = create(tmp_path / "stopped", space)
    with pytest.raises(KeyboardInterrupt):
        runs.run(folder, evaluate=stopping(chunks))
    kept = contents(folder.path)
    assert sum(name.endswith(".parquet") for name in kept) == chunks
    ran(opened(folder.path))
    assert contents(folder.path) == contents(whole.path)
    assert kept.items() <= contents(whole.path).items()


def test_ctrl_c_in_the_middle_of_a_file_is_answered_after_it(whole, monkeypatch):
    before = contents(whole.path)
    last = whole.files("served")[-1]
    last.unlink()
    monkeypatch.setattr(os, "fsync", lambda _: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        ran(opened(whole.path))
    assert contents(whole.path) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_computes_nothing(whole):
    assert runs.run(opened(whole.path), evaluate=stopping(0))


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data[:60] + bytes(len(data) - 120) + data[-60:],
        lambda data: data[:200] + bytes(800) + data[1000:],
    ],
)
def test_a_damaged_file_is_never_taken_for_finished(whole, harm):
    before = contents(whole.path)
    for stage in ("bound", "finer"):
        path = whole.files(stage)[1]
        path.write_bytes(harm(path.read_bytes()))
    ran(opened(whole.path))
    assert contents(whole.path) == before


def test_a_file_of_other_points_is_not_taken_for_a_task_of_that_name(whole):
    before = contents(whole.path)
    first, second = whole.files("finer")[:2]
    second.write_bytes(first.read_bytes())
    ran(opened(whole.path))
    assert contents(whole.path) == before


def test_what_a_killed_run_left_half_written_is_cleared_away_and_never_read(whole):
    half = whole.path / "bound" / ".all-000003.abcd.parquet"
    half.write_bytes(b"PAR1")
    assert half not in whole.files("bound")
    ran(opened(whole.path))
    assert not half.exists()


def test_shards_in_one_folder_and_then_a_resume_are_the_whole_run(whole, space, tmp_path):
    folder = create(tmp_path / "sharded", space)
    for number in (3, 1, 2):
        assert not runs.run(folder, shard=Shard(number, 3), evaluate=StandIn())
        assert not (folder.path / "finer").exists()
    assert len(folder.files("bound")) == 12
    assert runs.run(opened(folder.path), evaluate=StandIn())
    assert contents(folder.path) == contents(whole.path)


def test_shards_share_the_chunks_out(space, tmp_path):
    folder = create(tmp_path / "sharded", space)
    runs.run(folder, shard=shard_of("2/5"), evaluate=StandIn())
    assert [path.stem for path in folder.files("bound")] == [
        "all-000001",
        "all-000006",
        "all-000011",
    ]


def test_the_shards_that_share_no_chunk_write_at_once_and_no_others(whole):
    with locked(whole.path, Shard(1, 4)), locked(whole.path, Shard(2, 4)):
        with locked(whole.path, Shard(3, 8)):
            pass
        for other in (Shard(1, 4), Shard(5, 8), Shard(1, 3), WHOLE):
            with (
                pytest.raises(BadInput, match=rf"is writing here \(process {os.getpid()} on"),
                locked(whole.path, other),
            ):
                pass
    with locked(whole.path):
        pass


def test_a_lock_of_a_dead_owner_is_none(whole):
    (whole.path / ".locks").mkdir(exist_ok=True)
    (whole.path / ".locks" / "shard-1-of-1").write_text('{"pid": 1, "host": "gone"}')
    with locked(whole.path):
        pass


def test_any_two_shards_meet_exactly_where_they_share_a_chunk():
    shards = [Shard(i, n) for n in (1, 2, 3, 4, 6) for i in range(1, n + 1)]
    for one in shards:
        for other in shards:
            share = any(one.holds(k) and other.holds(k) for k in range(24))
            assert one.meets(other) == share


def test_units_evidence_and_provenance_stand_in_every_file(whole):
    bound, finer = (metadata(whole.files(stage)[0]) for stage in ("bound", "finer"))
    assert bound["unit.tpot_s"] == "s"
    assert (bound["evidence.tpot_s"], finer["evidence.tpot_s"]) == (
        "bound",
        "bound or simulated",
    )
    assert bound["evidence.batch"] == "given"
    told = json.loads((whole.path / "sweep.json").read_text())
    assert bound["content"] == told["content"]
    assert (bound["seed"], bound["stage"], bound["task"]) == ("3", "bound", "all-000000")
    assert told["columns"]["tpot_s"]["evidence"] == {
        "bound": "bound",
        "finer": "bound or simulated",
        "served": "simulated",
    }


def test_unknown_numbers_are_empty_in_the_file_and_nan_when_read(whole):
    rows = Store(whole.path).read(whole.files("bound"), ["energy_j_per_token", "devices"])
    assert np.isnan(rows["energy_j_per_token"]).all()
    assert (rows["devices"] == 8).all()


def test_a_chunk_without_a_row_keeps_the_types_of_its_columns(space, tmp_path):
    space.write_text(SPACE.replace("batch * context < 60000", "batch > 30"))
    folder = ran(create(tmp_path / "empty", space))
    rows = Store(folder.path).read(folder.files("bound"), ["point", "model", "tpot_s"])
    assert rows["point"].min() == 900
    assert set(rows["model"]) == {"mixtral-8x7b"}


def test_progress_counts_points_and_those_found(whole):
    (whole.files("bound")[0]).unlink()
    told: list[runs.Progress] = []
    runs.run(opened(whole.path), evaluate=StandIn(), progress=told.append)
    bound = [now for now in told if now.stage == "bound"]
    assert bound[0] == ("bound", 1100, 1100, 1200)
    assert bound[-1] == ("bound", 1200, 1100, 1200)


def test_a_plan_says_points_time_and_disk_of_each_stage(space, tmp_path):
    loaded = claimed(tmp_path / "a", space).space
    found = forecast(loaded, 2, StandIn())
    assert [(one.stage, one.points) for one in found.stages] == [
        ("bound", 1200),
        ("finer", 200),
        ("served", 10),
    ]
    assert 0.8 < found.kept < 0.9
    assert found.seconds > 0
    size = sum(path.stat().st_size for path in ran(create(tmp_path / "a", space)).files("bound"))
    assert found.stages[0].bytes < size  # small files have heads too
    with pytest.raises(BadInput, match="the run takes some 1 EB, the disk has"):
        check_room(tmp_path / "not" / "there", 1e18)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/2", "1/99999999", "1/0"])
def test_a_shard_is_one_of_so_many(text):
    with pytest.raises(BadInput, match="such as 3/64"):
        shard_of(text)
