"""Are tables of engines and papers read as miniatures worked out by hand say?"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.cli.app import main
from moesaic.workload import RoutingCounts, RoutingTrace, readers

# Three tokens, two layers, two choices of four experts.
IDS = np.array([[[0, 1], [2, 3]], [[1, 0], [3, 2]], [[2, 1], [0, 3]]])


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def safetensors(tensors: dict[str, np.ndarray], **changes: Any) -> bytes:
    header, body = {}, b""
    for name, values in tensors.items():
        data = values.astype("<i8").tobytes()
        start = len(body)
        body += data
        header[name] = {
            "dtype": "I64",
            "shape": list(values.shape),
            "data_offsets": [start, len(body)],
        } | changes
    told = text({"__metadata__": {"format": "pt"}, **header})
    return len(told).to_bytes(8, "little") + told + body


def write(path: Path, content: bytes | Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else text(content))
    return path


def trace(path: Path, **asked: Any) -> RoutingTrace:
    routing = readers.load(path, **asked)
    assert isinstance(routing, RoutingTrace)
    return routing


def counts(path: Path, **asked: Any) -> RoutingCounts:
    routing = readers.load(path, **asked)
    assert isinstance(routing, RoutingCounts)
    return routing


def listed(column: Any) -> Any:
    assert column is not None
    return column.tolist()


def test_a_load_window_of_vllm_counts_logical_experts(tmp_path):
    window = np.array([[[1, 2, 3, 4], [5, 6, 7, 8]], [[0] * 4, [0] * 4]])
    owners = np.array([[0, 1, 2, 0], [2, 1, 0, 1]])
    np.savez(tmp_path / "w.npz", expert_load_window=window, physical_to_logical_map=owners)
    found = counts(tmp_path / "w.npz", layers=(3, 5))
    assert found.layers == (3, 5)
    assert found.loads.tolist() == [[[5, 2, 3], [7, 14, 5]]]
    with pytest.raises(BadInput, match="2 MoE layers; 1 numbers"):
        readers.load(tmp_path / "w.npz", layers=(3,))


def statistics(folder: Path, **changes: Any) -> Path:
    """Two iterations of layers 3 and 61 on two ranks; `changes` replace files."""
    folder.mkdir(exist_ok=True)
    first = {f"{i}_{layer}": np.array([i, layer, 0]) for i in (100, 101) for layer in (3, 61)}
    second = {key: np.array([0, 0, 5]) for key in first}
    files = {
        "meta_info.json": {"num_experts": 3, "num_experts_per_token": 2},
        "rank0.safetensors": safetensors(first),
        "rank1.safetensors": safetensors(second),
        "rank0_raw.safetensors": b"not read",
    } | {name.replace("__", "."): value for name, value in changes.items()}
    for name, content in files.items():
        if content is not None:
            write(folder / name, content)
    return folder


def test_statistics_of_tensorrt_llm_are_summed_over_ranks(tmp_path):
    found = counts(statistics(tmp_path / "s"))
    assert (found.layers, found.names) == ((3, 61), ("iteration 100", "iteration 101"))
    assert found.loads.tolist() == [[[100, 3, 5], [100, 61, 5]], [[101, 3, 5], [101, 61, 5]]]
    # The layer with most assignments tells the tokens: (100 + 61 + 5) / 2.
    assert listed(found.tokens) == [83.0, 83.5]
    assert counts(tmp_path / "s", layers=(3,)).loads.shape == (2, 1, 3)


ONE = {"100_3": np.array([1, 2, 3])}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rank1__safetensors": safetensors(ONE)[:30]}, "cut off"),
        ({"rank1__safetensors": b"\xff" * 8 + b"{}"}, "cut off"),
        ({"rank1__safetensors": b"\x02" + bytes(7) + b"[]"}, "damaged safetensors header"),
        ({"rank1__safetensors": safetensors(ONE)[:-1]}, "beyond the end"),
        ({"rank1__safetensors": safetensors(ONE, data_offsets=[0, 10**15])}, "beyond the end"),
        ({"rank1__safetensors": safetensors(ONE, data_offsets=[-8, 16])}, "beyond the end"),
        ({"rank1__safetensors": safetensors(ONE, shape=[10**12])}, "do not hold"),
        ({"rank1__safetensors": safetensors(ONE, shape=[-3])}, "impossible shape"),
        ({"rank1__safetensors": safetensors(ONE, shape=[1] * 99 + [3])}, "impossible shape"),
        ({"rank1__safetensors": safetensors(ONE, dtype="F64")}, "3 whole numbers"),
        ({"rank1__safetensors": safetensors(ONE, dtype="O")}, "read are"),
        ({"rank1__safetensors": safetensors({"3": np.array([1, 2, 3])})}, "<iteration>_<layer>"),
        ({"rank1__safetensors": safetensors({"100_3": np.array([1, 2])})}, "3 whole numbers"),
        ({"rank1__safetensors": safetensors({"102_3": np.ones(3)})}, "layer 61 of iteration 102"),
        ({"meta_info__json": {"num_experts": 0}}, "1 to 32767"),
        ({"meta_info__json": {}}, "no description"),
        ({"rank0__safetensors": None, "rank1__safetensors": None}, "raw statistics"),
        ({"rank0__safetensors": safetensors({}), "rank1__safetensors": safetensors({})}, "loads"),
    ],
)
def test_statistics_that_cannot_be_are_refused(tmp_path, changes, words):
    with pytest.raises(BadInput, match=words):
        readers.load(statistics(tmp_path / "s", **changes))


def test_results_of_olmoe_hold_choices_before_layers(tmp_path):
    lines = [
        {"input_ids": [5, 6, 7], "exp_ids": IDS.swapaxes(1, 2).tolist()},
        {"input_ids": [8], "predicted_token_ids": [1], "exp_ids": [[[3, 2], [1, 0]]]},
    ]
    content = b"\n".join(map(text, lines))
    one = trace(write(tmp_path / "c4_results.jsonl", content), experts=64)
    assert (one.expert_ids[:3] == IDS).all()
    assert one.expert_ids[3].tolist() == [[3, 1], [2, 0]]
    assert listed(one.token_id) == [5, 6, 7, 8]
    assert listed(one.request_id) == [0, 0, 0, 1]
    assert (one.experts, one.layers) == (64, (0, 1))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (text({"input_ids": [1], "exp_ids": [[[1]], [[2]]]}), "2 token ids"),
        (text({"exp_ids": [[[1], [2, 3]]]}), "unequal length"),
        (text({"exp_ids": [[[40000]]]}), "allowed are"),
        (text({"exp_ids": []}), "three axes"),
        (text({"exp_ids": [[[1]]]}) + b"\n" + text({"exp_ids": [[[1, 2]]]}), "different models"),
        (text({"exp_ids": [[[1]]]}) + b"\n{", "line 2"),
        (text({"exp_ids": [[["1"]]]}), "not what was expected"),
    ],
)
def test_results_that_cannot_be_are_refused(tmp_path, content, words):
    with pytest.raises(BadInput, match=words):
        readers.load(write(tmp_path / "r.jsonl", content))


def test_long_tables_of_whole_numbers_are_exflow_and_short_ones_need_a_word(tmp_path):
    table = np.arange(5000 * 2).reshape(5000, 2) % 7
    np.save(tmp_path / "long.npy", table)
    one = trace(tmp_path / "long.npy")
    assert (one.top_k, one.experts, one.tokens) == (1, 7, 5000)
    assert (one.expert_ids[:, :, 0] == table).all()
    np.save(tmp_path / "short.npy", table[:6])
    with pytest.raises(BadInput, match="--format exflow"):
        readers.load(tmp_path / "short.npy")
    assert trace(tmp_path / "short.npy", form="exflow", experts=8).experts == 8
    loads = counts(tmp_path / "short.npy", form="eplb-weight")
    assert loads.loads.tolist() == [table[:6].tolist()]
    np.save(tmp_path / "floats.npy", table[:6] / 2)
    assert counts(tmp_path / "floats.npy", layers=(1, 2, 3, 4, 5, 9)).layers[-1] == 9
    with pytest.raises(BadInput, match="no format is called"):
        readers.load(tmp_path / "short.npy", form="exflo")


def test_weights_beyond_doubles_and_endless_ones_are_refused(tmp_path):
    for weight in (
        np.full((2, 3), np.inf),
        np.full((2, 3), np.nan),
        np.full((2, 3), np.longdouble("1e400")),
    ):
        np.save(tmp_path / "w.npy", weight)
        with pytest.raises(BadInput, match="finite"):
            readers.load(tmp_path / "w.npy")


def test_a_profile_of_moetuner_keeps_its_moves(tmp_path):
    moves = np.arange(8).reshape(2, 2, 2)
    np.savez(tmp_path / "p.npz", P=np.ones((3, 2)), R=moves, num_forwards=np.array(9))
    found = counts(tmp_path / "p.npz", layers=(1, 3, 5))
    assert found.pairs == ((1, 3), (3, 5))
    assert found.transitions is not None
    assert (found.transitions == moves).all()
    np.savez(tmp_path / "bad.npz", P=np.ones((3, 2)), R=moves[:1])
    with pytest.raises(BadInput, match="from each of 3 layers"):
        readers.load(tmp_path / "bad.npz")


def test_a_load_history_gives_a_window_an_entry(tmp_path):
    history = [{"logical_expert_load": [[1, 2], [3, 4]]}, {"logical_expert_load": [[5, 6], [7, 8]]}]
    path = write(tmp_path / "h.json", {"load_history": history})
    assert counts(path).total().tolist() == [[6, 8], [10, 12]]
    bad: Any
    for bad in ([], [{}], [{"logical_expert_load": [[1], [2, 3]]}], [{"logical_expert_load": [1]}]):
        with pytest.raises(BadInput):
            readers.load(write(tmp_path / "b.json", {"load_history": bad}))


def test_counts_come_back_as_they_were_written(tmp_path):
    whole = RoutingCounts(
        loads=np.arange(12.0).reshape(2, 3, 2),
        layers=(1, 4, 6),
        tokens=np.array([5.0, 7.0]),
        transitions=np.arange(8.0).reshape(2, 2, 2),
        pairs=((1, 4), (4, 6)),
        names=("a", "b"),
        source="a test",
    )
    plain = RoutingCounts(loads=whole.loads, layers=whole.layers)
    for one in (whole, plain):
        readers.write_counts(one, tmp_path / "c.npz")
        again = counts(tmp_path / "c.npz")
        for name in one.__struct_fields__:
            assert np.array_equal(getattr(one, name), getattr(again, name)), name
    picked = counts(tmp_path / "c.npz", layers=(4,))
    assert picked.loads.shape == (2, 1, 2)
    with pytest.raises(BadInput, match=r"\.npz"):
        readers.write_counts(whole, tmp_path / "c.json")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"layers": (2, 1)}, "ascending"),
        ({"layers": ()}, "ascending"),
        ({"layers": (-1,)}, "ascending"),
        ({"experts": 0}, "between 1 and"),
        ({"experts": 9}, "holds 2 experts"),
        ({"top_k": 10**9}, "between 1 and"),
    ],
)
def test_what_contradicts_the_file_is_refused(tmp_path, asked, words):
    path = write(tmp_path / "h.json", {"load_history": [{"logical_expert_load": [[1, 2]]}]})
    with pytest.raises(BadInput, match=words):
        readers.load(path, **asked)


def test_the_command_imports_tokens_and_counts_and_says_what_it_assumed(tmp_path, capsys):
    lines = write(tmp_path / "a.jsonl", {"exp_ids": IDS.swapaxes(1, 2).tolist()})
    out = tmp_path / "t.parquet"
    assert main(["trace", "import", str(lines), "--moe-layers", "1,2", "--out", str(out)]) == 0
    assert "largest id + 1: 4" in capsys.readouterr().err.replace("\n", " ")
    assert trace(out).layers == (1, 2)
    table = [[1] * 256] * 58
    history = {"load_history": [{"logical_expert_load": table}]}
    file, out = write(tmp_path / "h.json", history), tmp_path / "c.npz"
    words = ["trace", "import", str(file), "--moe-layers", "3-59,60", "--out", str(out)]
    assert main(words) == 0
    assert counts(out).layers == tuple(range(3, 61))
    words = ["trace", "show", str(file), "--model", "deepseek-v3", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == list(range(3, 61))
    many = {"load_history": [{"logical_expert_load": [[1, 2]]}] * 30}
    assert main(["trace", "show", str(write(tmp_path / "m.json", many))]) == 0
    assert "all 30 windows" in capsys.readouterr().out.replace("\n", " ")
    for wrong in (["--moe-layers", "3-x"], ["--format", "x"], ["--model", "x"]):
        assert main(["trace", "show", str(file), *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


SAMPLES: dict[str, bytes] = {
    "olmoe.jsonl": text({"input_ids": [1], "exp_ids": [[[1, 0]]]}),
    "history.json": text({"load_history": [{"logical_expert_load": [[1, 2]]}]}),
    "rank0.safetensors": safetensors({"1_2": np.array([1, 2, 3])}),
}


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_files_are_routing_or_one_sentence(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    damaged = bytearray(SAMPLES[name])
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = write(folder / name, bytes(damaged))
    if name.endswith("safetensors"):
        write(folder / "meta_info.json", {"num_experts": 3})
        path = folder
    with contextlib.suppress(BadInput):
        assert isinstance(readers.load(path, top_k=2), RoutingTrace | RoutingCounts)
