"""Are PyTorch files read without PyTorch, and is nothing in them ever run?"""

import collections
import contextlib
import io
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import RoutingCounts, RoutingTrace, readers
from moesaic.workload.readers import pickle_machine
from moesaic.workload.readers.pickle_machine import STORAGES
from moesaic.workload.readers.torch_file import read_torch

KINDS = {np.dtype(code): name for name, code in STORAGES.items()}
Built = dict[str, Any]


class Tensor:
    """What torch.save knows of a tensor: a storage, and how to look at it."""

    def __init__(self, numbers: np.ndarray, **changes: Any) -> None:
        flat = np.ascontiguousarray(numbers).ravel()
        steps = tuple(step // numbers.itemsize for step in numbers.strides)
        self.parts = {
            "numbers": flat,
            "offset": 0,
            "size": numbers.shape,
            "stride": steps,
            "values": flat.size,
        } | changes


def torch_image(value: Any, name: str = "archive", **members: bytes) -> bytes:
    """The bytes of torch.save(value), by Python's own pickler and the same zip layout.

    The names `torch._utils._rebuild_tensor_v2` and `torch.IntStorage` have to be importable while
    they are pickled, so stand-ins take their place for as long as that.
    """
    stream = io.BytesIO()
    storages: Built = {}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild() -> None:
        raise AssertionError("nothing of a file is run")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils.__dict__["_rebuild_tensor_v2"] = rebuild
    for kind in STORAGES:
        torch.__dict__[kind] = type(kind, (), {"__module__": "torch"})

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if not isinstance(obj, np.ndarray):
                return None
            key = str(len(storages))
            storages[key] = obj.tobytes()
            values = counts.get(id(obj), obj.size)
            return ("storage", torch.__dict__[KINDS[obj.dtype]], key, "cuda:0", values)

        def reducer_override(self, obj: Any) -> Any:
            if not isinstance(obj, Tensor):
                return NotImplemented
            parts = obj.parts
            counts[id(parts["numbers"])] = parts["values"]
            shape = (parts["offset"], parts["size"], parts["stride"])
            return rebuild, (parts["numbers"], *shape, False, collections.OrderedDict())

    counts: dict[int, Any] = {}
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        Pickler(stream, protocol=2).dump(value)
    finally:
        for module, old in before.items():
            sys.modules.pop(module) if old is None else sys.modules.update({module: old})
    return packed(stream.getvalue(), storages, name, **members)


def packed(pickled: bytes, storages: dict[str, bytes], name: str = "a", **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(f"{name}/data.pkl", pickled)
        archive.writestr(f"{name}/byteorder", members.get("byteorder", b"little"))
        for key, data in storages.items():
            archive.writestr(f"{name}/data/{key}", data)
        archive.writestr(f"{name}/version", b"3\n")
    return stream.getvalue()


def file(path: Path, value: Any) -> Path:
    path.write_bytes(torch_image(value, path.stem))
    return path


def ints(values: Any) -> Tensor:
    return Tensor(np.array(values, np.int32))


# Layer 0 is dense. Experts 0..2 in four slots: slot 3 is a copy of expert 0 in layer 1, of 2 in 2.
OWNERS = [[0, 1, 2, 0], [0, 1, 2, 0], [2, 1, 0, 2]]


def detail(rank: int, number: int, counts: Any, **more: Any) -> Built:
    return {
        "forward_pass_id": number,
        "rank": rank,
        "gatherer_key": "primary",
        "global_physical_count": ints(counts),
        **more,
    }


def recorded(*records: Built, owners: Any = OWNERS) -> Built:
    owners = Tensor(np.array(owners, np.int64))
    return {"records": list(records), "last_physical_to_logical_map": owners}


def tokens(
    rank: int, number: int, slots: Any, positions: list[int], /, mode: int = 1, **more: Any
) -> Built:
    """A per_token record of `slots [tokens][layers][k]`, stored with the layers first, k = 8."""
    wide = np.full((3, len(slots), 8), -1, np.int32)
    if slots:
        wide[1:, :, :2] = np.array(slots).swapaxes(0, 1)
    fields: Built = {
        "input_ids": [100 + position for position in positions],
        "positions": positions,
        "extend_seq_lens": [len(positions)],
        "forward_mode": mode,
        "topk_ids_of_layer": Tensor(wide),
        "misc_objects": [],
    }
    return detail(rank, number, np.zeros((3, 4)), **(fields | more))


PER_TOKEN = recorded(
    tokens(0, 7, [[[3, 1], [0, 1]], [[2, 0], [3, 2]]], [0, 1]),
    tokens(0, 8, [[[1, 2], [2, 1]]], [2], mode=2),
)
STAT = {
    "rank": 0,
    "logical_count": ints([[[0, 0, 0], [4, 1, 1], [0, 2, 4]], [[0, 0, 0], [1, 1, 4], [6, 0, 0]]]),
    "average_utilization_rate_over_window": None,
}


def test_values_come_back_as_they_were_saved(tmp_path):
    table = np.arange(6, dtype=np.int64).reshape(2, 3)
    value = {
        "a": [1, -2, 3.5, True, None, "text", 2**40, (), (1,), [[]]],
        "tensor": Tensor(table),
        5: collections.OrderedDict(),
        "turned": Tensor(table, size=(3, 2), stride=(1, 3)),
        "part": Tensor(table, offset=2, size=(2,), stride=(2,)),
        "empty": Tensor(np.zeros((0, 4), np.float32)),
        "half": Tensor(np.array(0.5, np.float16)),
    }
    again = read_torch(file(tmp_path / "v.pt", value))
    assert again["a"] == value["a"]
    assert again[5] == {}
    assert (again["tensor"] == table).all()
    assert (again["turned"] == table.T).all()
    assert again["part"].tolist() == [2, 4]
    assert again["empty"].shape == (0, 4)
    assert again["half"] == np.float16(0.5)


def test_stat_gives_counts_of_the_layers_that_hold_experts(tmp_path):
    counts = readers.load(file(tmp_path / "r.pt", STAT))
    assert isinstance(counts, RoutingCounts)
    assert (counts.layers, counts.names) == ((1, 2), ("step 0", "step 1"))
    assert counts.loads.tolist() == [[[4, 1, 1], [0, 2, 4]], [[1, 1, 4], [6, 0, 0]]]
    assert "1 layers without load" in counts.source
    one = readers.load(tmp_path / "r.pt", layers=(2,))
    assert isinstance(one, RoutingCounts)
    assert (one.layers, one.total().tolist()) == ((2,), [[6, 2, 4]])
    with pytest.raises(BadInput, match="nothing of layer 3; it holds 1-2"):
        readers.load(tmp_path / "r.pt", layers=(2, 3))


def test_per_pass_is_summed_over_ranks_and_made_logical(tmp_path):
    first = [[0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4]]
    second = [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    file(tmp_path / "t_0.pt", recorded(detail(0, 4, first), detail(0, 5, second)))
    file(tmp_path / "t_1.pt", recorded(detail(1, 4, second)))
    counts = readers.load(tmp_path)
    assert isinstance(counts, RoutingCounts)
    assert counts.names == ("pass 4", "pass 5")
    # By hand: layer 1 of pass 4 has (1 + 4) + 1 on expert 0; layer 2 has (1 + 4) + 1 on expert 2.
    assert counts.loads.tolist() == [[[6, 2, 3], [3, 2, 6]], [[1, 0, 0], [0, 0, 1]]]
    assert "2 ranks" in counts.source


def test_per_token_gives_the_trace_by_logical_expert(tmp_path):
    trace = readers.load(file(tmp_path / "t.pt", PER_TOKEN))
    assert isinstance(trace, RoutingTrace)
    assert (trace.layers, trace.experts, trace.top_k) == ((1, 2), 3, 2)
    assert trace.expert_ids.tolist() == [[[0, 1], [2, 1]], [[2, 0], [2, 0]], [[1, 2], [0, 1]]]
    assert trace.position is not None
    assert trace.is_decode is not None
    assert trace.token_id is not None
    assert trace.position.tolist() == [0, 1, 2]
    assert trace.is_decode.tolist() == [False, False, True]
    assert trace.token_id.tolist() == [100, 101, 102]


def test_ranks_of_one_batch_count_once_and_those_of_others_are_joined(tmp_path):
    file(tmp_path / "t_0.pt", PER_TOKEN)
    copy = tokens(1, 7, [[[3, 1], [0, 1]], [[2, 0], [3, 2]]], [0, 1])
    other = tokens(1, 8, [[[0, 2], [1, 2]]], [9], mode=2)
    file(tmp_path / "t_1.pt", recorded(copy, other))
    trace = readers.load(tmp_path)
    assert isinstance(trace, RoutingTrace)
    assert trace.source_rank is not None
    assert trace.source_rank.tolist() == [0, 0, 0, 1]
    assert trace.expert_ids[3].tolist() == [[0, 2], [1, 0]]
    assert "2 copies on other ranks left out" in trace.source


def test_in_a_mixed_batch_single_tokens_are_generated_ones(tmp_path):
    slots = [[[0, 1], [0, 1]]] * 4
    record = tokens(0, 1, slots, [0, 1, 2, 30], mode=3, extend_seq_lens=[3, 1])
    trace = readers.load(file(tmp_path / "t.pt", recorded(record)))
    assert isinstance(trace, RoutingTrace)
    assert trace.is_decode is not None
    assert trace.is_decode.tolist() == [False, False, False, True]


def test_a_window_of_vllm_and_weights_of_eplb_are_told_by_content(tmp_path):
    window = {
        "expert_load_window": ints([[[1, 2, 3, 4]], [[0, 0, 0, 0]]]),
        "physical_to_logical_map": ints([[0, 1, 2, 0]]),
    }
    counts = readers.load(file(tmp_path / "w.pt", window), layers=(3,))
    assert isinstance(counts, RoutingCounts)
    assert (counts.layers, counts.names) == ((3,), ("step 0",))
    assert counts.loads.tolist() == [[[5, 2, 3]]]
    weights = readers.load(file(tmp_path / "e.pt", ints([[1, 2], [3, 4]])))
    assert isinstance(weights, RoutingCounts)
    assert weights.loads.tolist() == [[[1, 2], [3, 4]]]
    assert weights.source.endswith("layers counted from 0")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([STAT, PER_TOKEN], "two modes"),
        ([PER_TOKEN, PER_TOKEN], "a pass of a rank twice"),
        ([PER_TOKEN, recorded(detail(1, 1, [[0] * 4] * 3), owners=[[0, 1, 2, 1]] * 3)], "differs"),
        ([STAT, {"logical_count": ints([[[1, 2]]])}], "different models"),
        ([STAT, {"weights": ints([[1]])}], "did not write"),
        ([{"logical_count": ints(np.zeros((2, 3, 4)))}], "nothing was recorded"),
        ([{"logical_count": [[[1]]]}], "must be a tensor"),
        ([{"logical_count": ints([[1, 2]])}], "3 axes"),
        ([{"logical_count": ints([[[1, -2]]])}], "not negative"),
        ([{"records": []}], "nothing was recorded"),
        ([{"records": 1}], "list of records"),
        ([{"records": [detail(0, 1, [[1, 2]])]}], "must be a tensor"),
        ([recorded(detail(0, 1, [[1, 2]]))], "must have the shape"),
        ([recorded(detail(0, -1, [[1] * 4] * 3))], "not negative"),
        ([recorded(detail(0, 1, [[1] * 4] * 3), owners=[[-1, 1, 2, 0]] * 3)], "holds an expert"),
        ([recorded(tokens(0, 1, [[[4, 0], [0, 1]]], [0]))], r"slots 0\.\.3"),
        ([recorded(tokens(0, 1, [[[1, 0], [0, 1]]], [0], positions=[0, 1]))], "1 whole numbers"),
        ([recorded(tokens(0, 1, [[[1, 0], [0, 1]]], [0], input_ids=["x"]))], "1 whole numbers"),
        ([recorded(tokens(0, 1, [], []))], "nothing was recorded"),
        ([{"model": ints([[1]])}], "none of the PyTorch files"),
        ([[1, 2]], "none of the PyTorch files"),
        ([ints([1, 2])], "2 axes"),
    ],
)
def test_recordings_that_cannot_be_are_refused(tmp_path, values, words):
    for rank, value in enumerate(values):
        file(tmp_path / f"r_{rank}.pt", value)
    with pytest.raises(BadInput, match=words) as fault:
        readers.load(tmp_path)
    assert fault.value.file


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
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path, change, words):
    with pytest.raises(BadInput, match=words):
        read_torch(file(tmp_path / "t.pt", Tensor(NUMBERS, **change)))


def test_nothing_of_an_evil_pickle_is_run(tmp_path):
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
        path.write_bytes(packed(pickled, {}))
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
def test_damaged_pickles_are_refused(tmp_path, pickled, words):
    path = tmp_path / "p.pt"
    path.write_bytes(packed(pickled, {}))
    with pytest.raises(BadInput, match=words):
        read_torch(path)


@pytest.mark.parametrize("pickled", [b"]" * 2000, b"(" * 2000, b"]" + b"\x94" * 2000])
def test_a_pickle_of_more_objects_than_memory_is_refused(tmp_path, monkeypatch, pickled):
    monkeypatch.setattr(pickle_machine, "MOST_OBJECTS", 1000)
    (tmp_path / "p.pt").write_bytes(packed(b"\x80\x05" + pickled, {}))
    with pytest.raises(BadInput, match="more than 1000 objects"):
        read_torch(tmp_path / "p.pt")


def test_a_list_that_holds_itself_does_no_harm(tmp_path):
    endless: Built = {"records": []}
    endless["records"].append(endless)
    with pytest.raises(BadInput, match="not negative"):
        readers.load(file(tmp_path / "e.pt", endless))


def test_old_big_endian_and_swollen_files_are_told_apart(tmp_path):
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


IMAGES = {"stat": torch_image(STAT), "per_token": torch_image(PER_TOKEN)}


@pytest.mark.parametrize("name", IMAGES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_is_routing_or_one_sentence(tmp_path_factory, name, data):
    damaged = bytearray(IMAGES[name])
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    for _ in range(data.draw(st.integers(0, 5))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}.pt"
    path.write_bytes(damaged)
    attempt(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_pickle_in_a_sound_archive_is_routing_or_one_sentence(tmp_path_factory, data):
    """The checksum of the zip hides most damage from the machine; here it sees all of it."""
    with zipfile.ZipFile(io.BytesIO(IMAGES["per_token"])) as archive:
        parts = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    damaged = bytearray(parts["data.pkl"])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    storages = {name[5:]: part for name, part in parts.items() if name.startswith("data/")}
    path = tmp_path_factory.getbasetemp() / "damaged-inside.pt"
    path.write_bytes(packed(bytes(damaged), storages))
    attempt(path)


def attempt(path: Path) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(readers.load(path), RoutingTrace | RoutingCounts)
