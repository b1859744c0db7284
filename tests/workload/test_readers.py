"""Is every format read as it was written, and every hostile file refused in one sentence?"""

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput, parquet
from moesaic.workload import RoutingCounts, RoutingTrace, readers, synthetic

META = json.dumps({"config": {"E": 4, "renorm": True}, "domains": ["a", "b"]})
IDS = np.array([[[0, 1], [2, 3]], [[1, 0], [3, 2]], [[2, 1], [0, 1]]], np.int16)


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def traced(path: Path, **changes: Any) -> Path:
    arrays = {
        "expert_ids": IDS,
        "probs_u8": np.full((3, 2, 4), 50, np.uint8),
        "request_id": np.array([7, 7, 9], np.int32),
        "position": np.arange(3, dtype=np.int16),
        "domain_id": np.array([0, 1, 1], np.int8),
        "is_decode": np.array([0, 1, 0], np.int8),
        "meta": np.array(META),
    } | changes
    return npz(path, **{name: array for name, array in arrays.items() if array is not None})


def test_an_npz_trace_is_read_whole(tmp_path):
    trace = readers.load(traced(tmp_path / "t.npz"))
    assert isinstance(trace, RoutingTrace)
    assert (trace.experts, trace.layers, trace.domain_names) == (4, (0, 1), ("a", "b"))
    assert (trace.expert_ids == IDS).all()
    assert trace.weights is not None
    assert trace.weights == pytest.approx(0.5)
    assert trace.is_decode is not None
    assert trace.is_decode.tolist() == [False, True, False]


def test_the_recorded_traces_are_whole(data_folder):
    trace = readers.read_npz_trace(data_folder / "tiny_deepseek_E32k4s1_seed1.npz")
    assert (trace.tokens, trace.experts, trace.top_k) == (40_275, 32, 4)
    assert trace.request_id is not None
    assert np.unique(trace.request_id).size == 240
    assert trace.weights is not None
    # This model does not renormalise: the executed experts hold a part of the softmax.
    assert 0.2 < trace.weights.sum(axis=2).mean() < 1


@pytest.mark.parametrize("seed", range(3))
def test_parquet_gives_back_what_was_written(tmp_path, seed):
    drawn = synthetic.zipf(16, 3, 200, 4, 1.0, seed)
    trace = RoutingTrace(
        expert_ids=drawn.expert_ids,
        experts=16,
        layers=(1, 3, 5, 7),
        weights=np.random.default_rng(seed).random((200, 4, 3)).astype(np.float32),
        position=np.arange(200),
        is_decode=np.arange(200) % 3 == 0,
        domain=np.arange(200) % 2,
        domain_names=("prose", "code"),
        source="a test",
    )
    path = tmp_path / "t.parquet"
    readers.write_parquet_trace(trace, path)
    again = readers.load(path)
    for name in trace.__struct_fields__:
        assert np.array_equal(getattr(trace, name), getattr(again, name)), name


def test_a_trace_that_could_not_be_read_again_is_not_written(tmp_path):
    wide = synthetic.uniform(16, 8, 1, 2049, seed=0)
    with pytest.raises(BadInput, match="16392 columns"):
        readers.write_parquet_trace(wide, tmp_path / "wide.parquet")
    assert list(tmp_path.iterdir()) == []


def test_router_logits_become_their_top_k(tmp_path):
    logits = np.random.default_rng(1).normal(size=(3, 50, 8)).astype(np.float32)
    layers = {f"arr_{i}": row for i, row in enumerate(logits)}
    np.save(tmp_path / "stacked.npy", logits)
    one = readers.read_router_logits(tmp_path / "stacked.npy", 2)
    many = readers.load(npz(tmp_path / "layers.npz", **layers), top_k=2)
    assert isinstance(many, RoutingTrace)
    assert (one.expert_ids == many.expert_ids).all()
    assert (one.expert_ids == np.argsort(-logits, axis=2)[..., :2].swapaxes(0, 1)).all()
    share = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    best = np.sort(share, axis=2)[..., :-3:-1].swapaxes(0, 1)
    assert one.weights == pytest.approx(best / best.sum(axis=2, keepdims=True), rel=1e-5)
    plain = readers.read_router_logits(tmp_path / "stacked.npy", 2, renormalise=False)
    assert plain.weights == pytest.approx(best, rel=1e-5)


def test_twelve_layers_stay_in_the_order_of_their_numbers(tmp_path):
    rows = {f"arr_{i}": np.eye(12, dtype=np.float32)[[i, i]] for i in range(12)}
    trace = readers.load(npz(tmp_path / "l.npz", **rows), top_k=1)
    assert isinstance(trace, RoutingTrace)
    assert trace.expert_ids[0, :, 0].tolist() == list(range(12))


def test_counts_name_their_parts(data_folder):
    path = data_folder / "olmoe_repo_counts.npz"
    assert set(readers.load_parts(path)) == {"mixtral8x7b", "olmoe1b7b"}
    with pytest.raises(BadInput, match="choose a part"):
        readers.load(path)
    with pytest.raises(BadInput, match="olmoe1b7b"):
        readers.load(path, part="olmoe1b7")
    counts = readers.load(path, part="olmoe1b7b")
    assert isinstance(counts, RoutingCounts)
    assert (counts.experts, counts.layers, counts.pairs) == (64, (0, 7, 15), ((0, 7), (7, 15)))
    assert counts.names == ("c4", "github", "book")


def header(descr: str = "'<i2'", shape: str = "(3, 2, 2)", body: bytes = bytes(24)) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (header(shape="(5000000000,)"), "claims 10000000000 bytes in its header but holds 24"),
        (header(shape="(3, 2)"), "claims 12 bytes"),
        (header(shape=f"({', '.join(['1'] * 99)}, 12)"), "impossible shape"),
        (header(shape="(0, 999999999999999999, 999999999999999999)", body=b""), "impossible"),
        (header(descr="'|O'"), "objects"),
        (header(descr="[('a', '<i2')]"), "no plain array"),
        (header(descr="'<M8'"), "where whole numbers"),
        (header(descr="'<i3'"), "unknown type"),
        (header(shape="(__import__('os').getcwd(),)"), "no plain array"),
        (b"\x80\x04K\x01.", "no .npy array"),
        (b"", "no .npy array"),
    ],
)
def test_a_hostile_header_is_refused_before_anything_is_allocated(tmp_path, member, words):
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("expert_ids.npy", member)
    with pytest.raises(BadInput, match=words) as fault:
        readers.load(path)
    assert fault.value.file == path
    (tmp_path / "bad.npy").write_bytes(member)
    with pytest.raises(BadInput):
        readers.load(tmp_path / "bad.npy", top_k=1)


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("expert_ids.npy", bytes(8 * 2**20))
    assert path.stat().st_size < 20_000
    with pytest.raises(BadInput, match="bomb"):
        readers.load(path)


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, expert_ids=np.array([{"a": 1}], dtype=object), meta=np.array(META))
    with pytest.raises(BadInput, match="objects"):
        readers.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"expert_ids": np.where(IDS == 3, 4, IDS)}, "0..3"),
        ({"expert_ids": np.where(IDS == 3, -2, IDS)}, "0..3"),
        ({"expert_ids": IDS.astype(np.int64) + 2**16}, "0..3"),
        ({"expert_ids": np.zeros_like(IDS)}, "all zero"),
        ({"expert_ids": np.zeros((3, 2, 1), np.int16)}, "all zero"),
        ({"expert_ids": IDS.astype(float)}, "whole numbers"),
        ({"expert_ids": IDS[:, 0]}, "shape"),
        ({"expert_ids": IDS[:0], "request_id": None}, "shape|must be"),
        ({"request_id": np.arange(4)}, "shape"),
        ({"position": np.array([0, -1, 2])}, "negative"),
        ({"position": np.array([0.5, 1, 2])}, "whole numbers"),
        ({"probs_u8": np.ones((3, 2, 1), np.uint8)}, "fewer"),
        ({"probs_u8": np.ones((3, 2, 4))}, "uint8"),
        ({"meta": None}, "lacks"),
        ({"meta": np.array("{}")}, "description of a trace"),
        ({"meta": np.array('{"config": {"E": 0}}')}, "1 to 32767"),
        ({"meta": np.array("[" * 5000)}, "description of a trace"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(tmp_path, change, words):
    with pytest.raises(BadInput, match=words):
        readers.load(traced(tmp_path / "t.npz", **change))


@pytest.mark.parametrize(
    ("logits", "top_k", "words"),
    [
        (np.full((2, 3, 4), np.nan, np.float32), 2, "finite"),
        (np.full((2, 3, 4), np.inf, np.float32), 2, "finite"),
        (np.full((2, 3, 4), 1e300), 2, "finite"),
        (np.ones((2, 3, 4), np.float32), 5, "between 1 and the 4"),
        (np.ones((2, 3, 4), np.float32), None, "state how many"),
        (np.ones((2, 3, 4), np.int64), 2, "needs floats"),
        (np.ones(4, np.float32), 2, "needs floats"),
        (np.ones((0, 3, 4), np.float32), 2, "needs floats"),
    ],
)
def test_impossible_logits_are_refused(tmp_path, logits, top_k, words):
    np.save(tmp_path / "l.npy", logits)
    with pytest.raises(BadInput, match=words):
        readers.load(tmp_path / "l.npy", top_k=top_k)


def test_a_parquet_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write(path, {"a": [1, 2]}, {"units": "none"})
    with pytest.raises(BadInput, match="no routing trace"):
        readers.load(path)
    told = {"experts": 4, "top_k": 2, "layers": [0]}
    parquet.write(path, {"expert_0_0": [0, 1]}, {"trace": json.dumps(told)})
    with pytest.raises(BadInput, match="lacks the column"):
        readers.load(path)
    parquet.write(path, {"expert_0_0": [0, 9], "expert_0_1": [1, 2]}, {"trace": json.dumps(told)})
    with pytest.raises(BadInput, match=r"0\.\.3"):
        readers.load(path)
    wide = told | {"layers": list(range(100_000))}
    parquet.write(path, {"expert_0_0": [0, 1]}, {"trace": json.dumps(wide)})
    with pytest.raises(BadInput, match="impossible shape"):
        readers.load(path)


@pytest.mark.parametrize(
    "text",
    ['{"a/b": {"expert_popularity": [[1, 2], [3]]}}', '{"a/b": {"expert_popularity": 1}}',
     '{"a/b": {"expert_popularity": [[0, 0]]}}', '{"a/b": {"expert_popularity": [[-1, 2]]}}',
     '{"a/b": {"expert_popularity": [["x"]]}}', '{"expert_popularity": []}',
     '{"a/b": {"expert_popularity": [[1, 2]]}, "a/c": {"expert_popularity": [[1, 2, 3]]}}'],
)  # fmt: skip
def test_impossible_counts_are_refused(tmp_path, text):
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(BadInput):
        readers.load(path)


def test_other_files_are_refused(tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04broken", b"PAR1", b"\x93NUMPY"):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(BadInput):
            readers.load(path, top_k=1)
    with pytest.raises(BadInput, match="folder"):
        readers.load(tmp_path)
    with pytest.raises(BadInput, match="no such file"):
        readers.load(tmp_path / "absent.npz")


def _samples() -> dict[str, bytes]:
    """A small valid file of every format."""
    stream = io.BytesIO()
    np.savez(stream, expert_ids=IDS, position=np.arange(3), meta=np.array(META))
    found = {"trace.npz": stream.getvalue()}
    stream = io.BytesIO()
    np.savez_compressed(stream, expert_ids=IDS, meta=np.array(META))
    found["packed.npz"] = stream.getvalue()
    stream = io.BytesIO()
    counts = np.arange(8).reshape(2, 4)
    arrays: dict[str, Any] = {"layers": np.array([0, 3]), "m/d/counts_topk": counts}
    np.savez(stream, **arrays)
    found["counts.npz"] = stream.getvalue()
    stream = io.BytesIO()
    np.save(stream, np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    found["logits.npy"] = stream.getvalue()
    found["popularity.json"] = b'{"v/s": {"expert_popularity": [[1, 2], [3, 4]]}}'
    return found


SAMPLES = _samples()


@pytest.fixture(scope="module")
def parquet_sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "t.parquet"
    readers.write_parquet_trace(RoutingTrace(expert_ids=IDS, experts=4, layers=(0, 1)), path)
    return path.read_bytes()


def damage(data: st.DataObject, content: bytes) -> bytes:
    """The content cut short, or with a few bytes overwritten."""
    damaged = bytearray(content)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 5))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


def attempt(path: Path) -> None:
    """Reads the file; whatever is no BadInput and no routing fails the test."""
    with contextlib.suppress(BadInput):
        parts = readers.load_parts(path, top_k=2)
        assert all(isinstance(one, RoutingTrace | RoutingCounts) for one in parts.values())


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_valid_as_it_stands(tmp_path, name):
    (tmp_path / name).write_bytes(SAMPLES[name])
    assert readers.load_parts(tmp_path / name, top_k=2)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_is_routing_or_one_sentence(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(damage(data, SAMPLES[name]))
    attempt(path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_parquet_is_routing_or_one_sentence(tmp_path_factory, parquet_sample, data):
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(damage(data, parquet_sample))
    attempt(path)
