"""Files are read with a limit and written whole or not at all."""

import os

import pytest

from moesaic.base import BadInput
from moesaic.base.files import content_hash, read_bounded, read_text, write_text, writing


def test_a_file_is_written_whole(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "new")
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"


def test_a_fault_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def breaks_off():
        with writing(file) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks_off()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "large").write_bytes(bytes(11))
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="cannot be read"):
        read_bounded(tmp_path / "missing")
    with pytest.raises(BadInput, match="folder"):
        read_bounded(tmp_path)
    with pytest.raises(BadInput, match="11 bytes"):
        read_bounded(tmp_path / "large", most_bytes=10)
    with pytest.raises(BadInput, match="UTF-8"):
        read_text(tmp_path / "latin")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_neither_waited_for_nor_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name in (pipe, "/dev/null"):
        with pytest.raises(BadInput, match="pipe or a device"):
            read_bounded(name)
    with pytest.raises(BadInput, match="pipe or a device"):
        write_text(pipe, "x")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_where_its_file_is_written(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_hash_knows_where_its_parts_end():
    assert content_hash("ab", "c") != content_hash("a", "bc")
    assert content_hash("ab") == content_hash(b"ab")
