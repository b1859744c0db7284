"""Is a folder that is not this run's refused in words, and left as it is?"""

import json
import os
import runpy
import tempfile
from pathlib import Path

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.sweeps.design import folder as folders
from moesaic.sweeps.design import run as runs
from moesaic.sweeps.design import store
from moesaic.sweeps.design.folder import begin, claimed, create, opened, read_manifest
from moesaic.sweeps.design.locks import shard_of

HELD = runpy.run_path(str(Path(__file__).with_name("sweep_stand_in.py")))
SPACE, StandIn, contents = HELD["SPACE"], HELD["StandIn"], HELD["contents"]


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def begun(space, tmp_path):
    """A folder of a run that has computed nothing yet."""
    return create(tmp_path / "run", space)


def changed(path, **fields):
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | fields))


def test_a_folder_with_other_files_is_refused_and_left(space, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match=r"files that are no run's \(thesis.tex\); name an empty"):
        create(tmp_path / "mine", space)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_claim_writes_nothing(space, tmp_path):
    claimed(tmp_path / "run", space)
    assert not (tmp_path / "run").exists()


def test_the_same_space_is_the_same_run(begun, space):
    before = contents(begun.path)
    again = create(begun.path, space)
    assert again.manifest == begun.manifest == opened(begun.path).manifest
    assert contents(begun.path) == before


def test_what_broke_off_at_its_beginning_is_begun_again(begun, space):
    before = contents(begun.path)
    (begun.path / "sweep.json").unlink()
    (begun.path / ".sweep.x1.json").write_text("{")
    begin(claimed(begun.path, space), space)
    assert before.items() <= contents(begun.path).items()


def test_another_space_is_refused(begun, space):
    before = contents(begun.path)
    space.write_text(SPACE.replace("A small space", "Another space"))
    with pytest.raises(BadInput, match=r"another space \('A small space'\).*name another folder"):
        create(begun.path, space)
    assert contents(begun.path) == before


def test_another_seed_is_refused(begun, space):
    with pytest.raises(BadInput, match="with seed 3, not 4"):
        create(begun.path, space, seed=4)


def test_another_version_is_refused(begun, space, monkeypatch):
    monkeypatch.setattr(folders, "__version__", "9.9")
    for again in (lambda: create(begun.path, space), lambda: opened(begun.path)):
        with pytest.raises(BadInput, match=r"of moesaic 0\.\d+\.\d+; this is 9\.9"):
            again()


def test_another_format_is_refused(begun):
    changed(begun.path / "sweep.json", format=7)
    with pytest.raises(BadInput, match="has format 7"):
        opened(begun.path)


def test_a_space_that_was_edited_in_the_folder_is_refused(begun):
    path = begun.path / "space.toml"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(BadInput, match=r"space.toml: was changed after the run began"):
        opened(begun.path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "\xff", "[" * 10_000])
def test_a_damaged_manifest_is_told(begun, text):
    (begun.path / "sweep.json").write_text(text, encoding="latin-1")
    with pytest.raises(BadInput, match=r"sweep\.json: (is damaged|has format)"):
        read_manifest(begun.path)


def test_an_edited_hash_is_told(begun):
    changed(begun.path / "sweep.json", content="0" * 32)
    with pytest.raises(BadInput, match="content hash is not that of its parts"):
        opened(begun.path)


@pytest.mark.parametrize("name", ["nothing", "empty", "file"])
def test_what_is_no_run_is_told(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match=r"is no (folder|run)"):
        opened(tmp_path / name)


def test_a_file_is_no_folder(space, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file; name a folder"):
        create(tmp_path / "file", space)


def test_machines_of_ones_own_are_found_where_the_space_lay_and_their_change_is_told(tmp_path):
    from moesaic.base.spec import dump
    from moesaic.hardware.load import device

    there = tmp_path / "spaces"
    there.mkdir()
    mine = dump(device("h100-sxm"))
    (there / "mine.toml").write_text(mine)
    (there / "space.toml").write_text(SPACE.replace("dgx-h100", "mine.toml"))
    folder = create(tmp_path / "run", there / "space.toml")
    assert list(folder.manifest.specs) == ["machine mine.toml", "model mixtral-8x7b"]
    assert opened(folder.path).space.here == there
    assert str(tmp_path).encode() not in b"".join(contents(folder.path).values())
    (there / "mine.toml").write_text(mine.replace("clock_hz = 198", "clock_hz = 188"))
    with pytest.raises(BadInput, match=r"begun with another machine mine\.toml than there is now"):
        opened(folder.path)


class Full(store.Store):
    """A disk that takes a few files."""

    left = 2

    def write(self, path, columns, metadata):
        with store.disk_faults(self.folder):
            if not Full.left:
                raise OSError(28, "No space left on device")
            Full.left -= 1
        super().write(path, columns, metadata)


def test_a_full_disk_keeps_what_is_finished_and_says_how_to_go_on(begun, monkeypatch):
    monkeypatch.setitem(runs.CHUNK, "bound", 100)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "Store", Full)
        with pytest.raises(
            BadInput,
            match=r"no space left on device; what is finished stays: free some space, then "
            r"`moesaic sweep resume .*run`",
        ):
            runs.run(begun, evaluate=StandIn())
    assert len(begun.files("bound")) == 2
    assert runs.run(opened(begun.path), evaluate=StandIn())


NOBODY = 65534


@pytest.fixture
def sealed(space):
    """A begun run in a folder that this process may read and not write, root or not."""
    with tempfile.TemporaryDirectory() as place:
        folder = create(Path(place) / "run", space)
        runs.run(folder, evaluate=StandIn(), asks=lambda *_: True)  # all is imported now
        me = os.geteuid()
        for path in (Path(place), folder.path, folder.path / ".locks"):
            path.chmod(0o555)
        if me == 0:
            os.seteuid(NOBODY)
        yield folder
        if me == 0:
            os.seteuid(me)
        for path in (Path(place), folder.path, folder.path / ".locks"):
            path.chmod(0o755)


def test_a_folder_that_may_not_be_written_is_told(sealed):
    with pytest.raises(BadInput, match="permission denied"):
        runs.run(sealed, evaluate=StandIn())
    with pytest.raises(BadInput, match="permission denied"):
        create(sealed.path.parent / "new", sealed.path / "space.toml")


def test_a_stage_that_may_not_be_written_says_how_to_go_on(sealed):
    sealed_store = store.Store(sealed.path)
    with pytest.raises(BadInput, match=r"permission denied; what is finished stays: mend it, then"):
        sealed_store.write(sealed.path / "bound" / "a.parquet", {"point": np.arange(3)}, {})


@pytest.mark.parametrize("seed", [-5, 2**31, 1.5])
def test_a_seed_that_no_space_can_have_is_told(begun, seed):
    changed(begun.path / "sweep.json", seed=seed)
    with pytest.raises(BadInput, match=r"sweep\.json: is damaged: .*seed"):
        opened(begun.path)


@pytest.mark.parametrize("name", ["b*", "q?", "a[1]", "x{1,2}", "b*/inside"])
def test_a_path_that_stands_for_several_is_refused(begun, space, tmp_path, name):
    with pytest.raises(BadInput, match="in its path, which stands for other names in questions"):
        claimed(tmp_path / name, space)
    begun.path.rename(tmp_path / name.split("/")[0])
    with pytest.raises(BadInput, match="in its path, which stands for other names in questions"):
        opened(tmp_path / name)


@pytest.mark.parametrize("name", ["n" * 302, "/".join(["n" * 200] * 25)])
def test_a_name_that_is_too_long_is_told(space, tmp_path, name):
    for use in (lambda: claimed(tmp_path / name, space), lambda: opened(tmp_path / name)):
        with pytest.raises(BadInput, match="cannot be used: file name too long"):
            use()


@pytest.mark.parametrize("inside", ["bound", "report", "report/deep"])
def test_no_run_begins_inside_another(begun, space, inside):
    with pytest.raises(BadInput, match="lies in the folder of a run"):
        claimed(begun.path / inside, space)


@pytest.mark.parametrize("text", ["٣/٤", " 1/2", "1/2 ", "1/2\n", "0/2", "3/2", "1/-2"])
def test_a_shard_is_written_in_one_way(text):
    with pytest.raises(BadInput, match="such as 3/64"):
        shard_of(text)


def test_a_device_that_takes_nothing_is_told_before_anything_runs(space):
    with pytest.raises(BadInput, match=r"(is a file; name a folder|not a directory)"):
        create(Path("/dev/null/run"), space)
