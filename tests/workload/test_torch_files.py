"""Are PyTorch files read without PyTorch, and is nothing in them ever run?"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from moesaic.base import BadInput
from moesaic.workload import readers
from moesaic.workload.readers import pickle_machine
from moesaic.workload.readers.torch_file import read_torch

STAT = {"rank": 0, "logical_count": np.ones((1, 2, 3), np.int32)}


def test_values_come_back_as_they_were_saved(tmp_path, torch_image):
    table = np.arange(6, dtype=np.int64).reshape(2, 3)
    value = {
        "a": [1, -2, 3.5, True, None, "text", 2**40, (), (1,), [[]]],
        "tensor": table,
        5: collections.OrderedDict(),
        "turned": SimpleNamespace(numbers=table, size=(3, 2), stride=(1, 3)),
        "part": SimpleNamespace(numbers=table, offset=2, size=(2,), stride=(2,)),
        "empty": np.zeros((0, 4), np.float32),
        "half": np.array(0.5, np.float16),
    }
    (tmp_path / "v.pt").write_bytes(torch_image(value))
    again = read_torch(tmp_path / "v.pt")
    assert again["a"] == value["a"]
    assert again[5] == {}
    assert (again["tensor"] == table).all()
    assert (again["turned"] == table.T).all()
    assert again["part"].tolist() == [2, 4]
    assert again["empty"].shape == (0, 4)
    assert again["half"] == np.float16(0.5)


NUMBERS = np.arange(6, dtype=np.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offset": 1}, "beyond the numbers"),
        ({"offset": -1}, "impossible shape"),
        ({"offset": 2**60}, "impossible shape"),
        ({"size": (7,)}, "beyond the numbers"),
        ({"size": (-6,)}, "impossible shape"),
        ({"stride": (2,)}, "beyond the numbers"),
        ({"stride": (-1,)}, "impossible shape"),
        ({"stride": (1, 1)}, "impossible shape"),
        ({"size": (10**6, 10**6), "stride": (0, 0)}, "more than 2147483648 bytes"),
        ({"size": (1,) * 9, "stride": (1,) * 9}, "impossible shape"),
        ({"size": [6]}, "impossible shape"),
        ({"size": (6.0,)}, "impossible shape"),
        ({"size": (True,)}, "impossible shape"),
        ({"values": 7}, "another number of values"),
        ({"values": 2**40}, "another number of values"),
        ({"values": -1}, "something other than the numbers"),
    ],
)
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path, torch_image, change, words):
    (tmp_path / "t.pt").write_bytes(torch_image(SimpleNamespace(numbers=NUMBERS, **change)))
    with pytest.raises(BadInput, match=words):
        read_torch(tmp_path / "t.pt")


def test_nothing_of_an_evil_pickle_is_run(tmp_path, torch_zip):
    trap = tmp_path / "trap"

    class Evil:
        def __reduce__(self):
            return Path.touch, (trap,)

    class State:
        def __init__(self):
            self.x = 1

    evil = [
        pickle.dumps({"logical_count": Evil()}, protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    evil += [
        b"cos\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR.",
        b"\x80\x02cos\nsystem\nX\x05\x00\x00\x00touch\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nccollections\nOrderedDict\n\x85R.",
        b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
        b"(ios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02}ccollections\nOrderedDict\nb.",
        b"\x80\x02K\x01Q.",
    ]  # fmt: skip
    for number, pickled in enumerate(evil):
        path = tmp_path / f"evil{number}.pt"
        path.write_bytes(torch_zip(pickled, {}))
        with pytest.raises(BadInput, match=r"nothing is run|something other") as fault:
            readers.load(path)
        assert fault.value.file == path
    assert not trap.exists()


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        (b"", "without a result"),
        (b"\x80\x02", "without a result"),
        (b"\x80\x02.", "damaged pickle"),
        (b"\x80\x02K", "damaged pickle"),
        (b"\x80\x02e.", "damaged pickle"),
        (b"\x80\x02h\x05.", "damaged pickle"),
        (b"\x80\x02}]K\x01s.", "no text or number"),
        (b"\x80\x02K\x01(K\x02e.", "no list"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged pickle"),
        (b"\x80\x02X\x02\x00\x00\x00\xff\xff.", "damaged pickle"),
    ],
)
def test_damaged_pickles_are_refused(tmp_path, torch_zip, pickled, words):
    path = tmp_path / "p.pt"
    path.write_bytes(torch_zip(pickled, {}))
    with pytest.raises(BadInput, match=words):
        read_torch(path)


@pytest.mark.parametrize("pickled", [b"]" * 2000, b"(" * 2000, b"]" + b"\x94" * 2000])
def test_a_pickle_of_more_objects_than_memory_is_refused(tmp_path, torch_zip, monkeypatch, pickled):
    monkeypatch.setattr(pickle_machine, "MOST_OBJECTS", 1000)
    (tmp_path / "p.pt").write_bytes(torch_zip(b"\x80\x05" + pickled, {}))
    with pytest.raises(BadInput, match="more than 1000 objects"):
        read_torch(tmp_path / "p.pt")


def test_a_list_that_holds_itself_does_no_harm(tmp_path, torch_image):
    endless: dict[str, Any] = {"records": []}
    endless["records"].append(endless)
    (tmp_path / "e.pt").write_bytes(torch_image(endless))
    with pytest.raises(BadInput, match="not negative"):
        readers.load(tmp_path / "e.pt")


def test_lists_that_grow_when_written_out_are_never_written_out(tmp_path, torch_image, torch_zip):
    """Sixty lists, each twice in the next: as text they would fill any memory."""
    swollen: Any = []
    for _ in range(60):
        swollen = [swollen, swollen]
    record = {"forward_pass_id": 0, "rank": 0, "gatherer_key": swollen}
    images = [
        torch_zip(pickle.dumps(swollen, 2)[:-1] + b"q\xffh\xff\x93.", {}),
        torch_image({"records": [record]}),
        torch_image({"records": [record | {"rank": swollen}]}),
        torch_image({"logical_count": swollen}),
        torch_image(swollen),
    ]
    for image in images:
        (tmp_path / "s.pt").write_bytes(image)
        with pytest.raises(BadInput, match=r"no text|be text|whole number|a tensor|none of"):
            readers.load(tmp_path / "s.pt")


def test_old_big_endian_and_swollen_files_are_told_apart(tmp_path, torch_image):
    old = tmp_path / "old.pt"
    old.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    with pytest.raises(BadInput, match=r"before 1\.6"):
        readers.load(old)
    big = tmp_path / "big.pt"
    big.write_bytes(torch_image(STAT, byteorder=b"big"))
    with pytest.raises(BadInput, match="big-endian"):
        readers.load(big)
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02]" * 2**22)
    with pytest.raises(BadInput, match="bomb"):
        readers.load(bomb)
    two = tmp_path / "two.pt"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02].")
        archive.writestr("b/data.pkl", b"\x80\x02].")
    with pytest.raises(BadInput, match="no single"):
        readers.load(two)
    lacking = tmp_path / "lacking.pt"
    image = torch_image(STAT)
    with zipfile.ZipFile(io.BytesIO(image)) as whole, zipfile.ZipFile(lacking, "w") as archive:
        archive.writestr("archive/data.pkl", whole.read("archive/data.pkl"))
    with pytest.raises(BadInput, match="lacks the numbers"):
        readers.load(lacking)
