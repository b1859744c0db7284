"""Is what SGLang's recorder wrote joined, made logical, and refused where it contradicts itself?"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import RoutingCounts, RoutingTrace, readers

Built = dict[str, Any]
File = Callable[[str, Any], Path]


@pytest.fixture
def file(tmp_path, torch_image) -> File:
    """Writes a value as a PyTorch file of that name."""

    def write(name: str, value: Any) -> Path:
        path: Path = tmp_path / name
        path.write_bytes(torch_image(value, name))
        return path

    return write


def ints(values: Any) -> np.ndarray:
    return np.array(values, np.int32)


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
    owners = np.array(owners, np.int64)
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
        "topk_ids_of_layer": wide,
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


def test_stat_gives_counts_of_the_layers_that_hold_experts(tmp_path, file):
    counts = readers.load(file("r.pt", STAT))
    assert isinstance(counts, RoutingCounts)
    assert (counts.layers, counts.names) == ((1, 2), ("step 0", "step 1"))
    assert counts.loads.tolist() == [[[4, 1, 1], [0, 2, 4]], [[1, 1, 4], [6, 0, 0]]]
    assert "1 layers without load" in counts.source
    one = readers.load(tmp_path / "r.pt", layers=(2,))
    assert isinstance(one, RoutingCounts)
    assert (one.layers, one.total().tolist()) == ((2,), [[6, 2, 4]])
    with pytest.raises(BadInput, match="nothing of layer 3; it holds 1-2"):
        readers.load(tmp_path / "r.pt", layers=(2, 3))


def test_per_pass_is_summed_over_ranks_and_made_logical(tmp_path, file):
    first = [[0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4]]
    second = [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    file("t_0.pt", recorded(detail(0, 4, first), detail(0, 5, second)))
    file("t_1.pt", recorded(detail(1, 4, second)))
    counts = readers.load(tmp_path)
    assert isinstance(counts, RoutingCounts)
    assert counts.names == ("pass 4", "pass 5")
    # By hand: layer 1 of pass 4 has (1 + 4) + 1 on expert 0; layer 2 has (1 + 4) + 1 on expert 2.
    assert counts.loads.tolist() == [[[6, 2, 3], [3, 2, 6]], [[1, 0, 0], [0, 0, 1]]]
    assert "2 ranks" in counts.source


def test_per_token_gives_the_trace_by_logical_expert(tmp_path, file):
    trace = readers.load(file("t.pt", PER_TOKEN))
    assert isinstance(trace, RoutingTrace)
    assert (trace.layers, trace.experts, trace.top_k) == ((1, 2), 3, 2)
    assert trace.expert_ids.tolist() == [[[0, 1], [2, 1]], [[2, 0], [2, 0]], [[1, 2], [0, 1]]]
    assert trace.position is not None
    assert trace.is_decode is not None
    assert trace.token_id is not None
    assert trace.position.tolist() == [0, 1, 2]
    assert trace.is_decode.tolist() == [False, False, True]
    assert trace.token_id.tolist() == [100, 101, 102]


def test_ranks_of_one_batch_count_once_and_those_of_others_are_joined(tmp_path, file):
    file("t_0.pt", PER_TOKEN)
    copy = tokens(1, 7, [[[3, 1], [0, 1]], [[2, 0], [3, 2]]], [0, 1])
    other = tokens(1, 8, [[[0, 2], [1, 2]]], [9], mode=2)
    file("t_1.pt", recorded(copy, other))
    trace = readers.load(tmp_path)
    assert isinstance(trace, RoutingTrace)
    assert trace.source_rank is not None
    assert trace.source_rank.tolist() == [0, 0, 0, 1]
    assert trace.expert_ids[3].tolist() == [[0, 2], [1, 0]]
    assert "2 copies on other ranks left out" in trace.source


def test_in_a_mixed_batch_single_tokens_are_generated_ones(tmp_path, file):
    slots = [[[0, 1], [0, 1]]] * 4
    record = tokens(0, 1, slots, [0, 1, 2, 30], mode=3, extend_seq_lens=[3, 1])
    trace = readers.load(file("t.pt", recorded(record)))
    assert isinstance(trace, RoutingTrace)
    assert trace.is_decode is not None
    assert trace.is_decode.tolist() == [False, False, False, True]


def test_a_window_of_vllm_and_weights_of_eplb_are_told_by_content(tmp_path, file):
    window = {
        "expert_load_window": ints([[[1, 2, 3, 4]], [[0, 0, 0, 0]]]),
        "physical_to_logical_map": ints([[0, 1, 2, 0]]),
    }
    counts = readers.load(file("w.pt", window), layers=(3,))
    assert isinstance(counts, RoutingCounts)
    assert (counts.layers, counts.names) == ((3,), ("step 0",))
    assert counts.loads.tolist() == [[[5, 2, 3]]]
    weights = readers.load(file("e.pt", ints([[1, 2], [3, 4]])))
    assert isinstance(weights, RoutingCounts)
    assert weights.loads.tolist() == [[[1, 2], [3, 4]]]
    assert weights.source.endswith("layers counted from 0")


BOTH = tokens(0, 1, [[[1, 0], [0, 1]]], [0])
NARROW = np.ones((3, 1, 2), np.int32)


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
        ([recorded(BOTH, BOTH | {"rank": 1, "topk_ids_of_layer": NARROW})], "different widths"),
        ([{"model": ints([[1]])}], "none of the PyTorch files"),
        ([[1, 2]], "none of the PyTorch files"),
        ([ints([1, 2])], "2 axes"),
    ],
)
def test_recordings_that_cannot_be_are_refused(tmp_path, values, words, file):
    for rank, value in enumerate(values):
        file(f"r_{rank}.pt", value)
    with pytest.raises(BadInput, match=words) as fault:
        readers.load(tmp_path)
    assert fault.value.file


VALUES = {"stat": STAT, "per_token": PER_TOKEN}


@pytest.mark.parametrize("name", VALUES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_file_is_routing_or_one_sentence(tmp_path_factory, torch_image, name, data):
    damaged = bytearray(torch_image(VALUES[name]))
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
def test_a_damaged_pickle_in_a_sound_archive_is_routing_or_one_sentence(
    tmp_path_factory, torch_image, torch_zip, data
):
    """The checksum of the zip hides most damage from the machine; here it sees all of it."""
    with zipfile.ZipFile(io.BytesIO(torch_image(PER_TOKEN))) as archive:
        parts = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    damaged = bytearray(parts["data.pkl"])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    storages = {name[5:]: part for name, part in parts.items() if name.startswith("data/")}
    path = tmp_path_factory.getbasetemp() / "damaged-inside.pt"
    path.write_bytes(torch_zip(bytes(damaged), storages))
    attempt(path)


def attempt(path: Path) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(readers.load(path), RoutingTrace | RoutingCounts)
