"""Is each engine's file read back as it was written, and refused where the engine would choke?"""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.placement import Problem, formats, solve
from moesaic.workload import ExpertMap, RoutingCounts, contiguous, load

ENDINGS = {name: form.suffixes[0] for name, form in formats.FORMATS.items()}


@st.composite
def maps(draw: st.DrawFn, alike: bool = False) -> ExpertMap:
    """Maps that every engine can load: no expert twice on a rank, equal slots a rank."""
    ranks = draw(st.integers(1, 4))
    experts = ranks * draw(st.integers(1, 4))
    more = 0 if alike else draw(st.integers(0, min(2, experts - experts // ranks)))
    layers = sorted(draw(st.sets(st.integers(0, 9), min_size=1, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    rows = [_row(rng, experts, ranks, more) for _ in layers]
    each = experts // ranks + more
    return ExpertMap(
        slots=np.array(rows[:1] * len(rows) if alike else rows, np.int32),
        ranks=np.repeat(np.arange(ranks, dtype=np.int32), each),
        layers=tuple(layers),
        experts=experts,
    )


def _row(rng: np.random.Generator, experts: int, ranks: int, more: int) -> list[int]:
    """Each rank's share of all experts, and `more` of those that it lacks."""
    row: list[int] = []
    for share in np.array_split(rng.permutation(experts), ranks):
        others = np.setdiff1d(np.arange(experts), share)
        row += rng.permutation([*share, *rng.permutation(others)[:more]]).tolist()
    return row


def by_rank(placed: ExpertMap) -> np.ndarray:
    return np.sort(placed.slots.reshape(len(placed.layers), placed.devices, -1), axis=2)


@pytest.mark.parametrize("name", formats.FORMATS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_format_gives_back_the_map(tmp_path_factory, name, data):
    placed = data.draw(maps(alike=name == "vllm-ranks"))
    path = tmp_path_factory.getbasetemp() / f"round-{name}{ENDINGS[name]}"
    formats.write(path, placed, name)
    asked = {"layers": placed.layers, "experts": placed.experts, "ranks": placed.devices}
    again, told = formats.read(path, name, **asked)
    assert told is None
    assert (again.layers, again.experts) == (placed.layers, placed.experts)
    assert (again.ranks == placed.ranks).all()
    if name == "vllm-ranks":  # the order within a rank is not in the file
        assert (by_rank(again) == by_rank(placed)).all()
    else:
        assert (again.slots == placed.slots).all()
    assert formats.detected(path).name == name
    assert formats.check(path, experts=placed.experts, ranks=placed.devices) == []


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if name != "vllm-ranks"])
def test_a_sidecar_tells_ranks_layers_and_how_it_was_made(tmp_path, name):
    loads = np.floor(np.random.default_rng(0).lognormal(4, 1, (1, 2, 8)))
    placement = solve(Problem.of(RoutingCounts(loads=loads, layers=(3, 5)), 4))
    path = tmp_path / f"map{ENDINGS[name]}"
    assert formats.write(path, placement, name).name == name
    again, told = formats.read(path)
    assert told is not None
    assert told.method == placement.method
    assert again.layers == (3, 5)
    assert (again.slots == placement.expert_map.slots).all()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, "map.meta.json"])
    formats.write(path, placement.expert_map, name)  # the bare map has no certificate
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def tiny() -> ExpertMap:
    """Layers 1 and 3; four experts in six slots on two ranks, expert 3 or 0 copied."""
    return ExpertMap(
        slots=np.array([[0, 1, 3, 2, 3, 1], [3, 0, 2, 0, 1, 2]], np.int32),
        ranks=np.array([0, 0, 0, 1, 1, 1], np.int32),
        layers=(1, 3),
        experts=4,
    )


def test_the_files_hold_what_the_engines_expect(tmp_path):
    text = {}
    for name in ("sglang", "tensorrt-llm", "vllm"):
        path = tmp_path / f"{name}{ENDINGS[name]}"
        formats.write(path, tiny(), name)
        text[name] = path.read_text()
    start = [0, 1, 2, 3, 0, 1]
    rows = [[0, 1, 3, 2, 3, 1], [3, 0, 2, 0, 1, 2]]
    table = {"physical_to_logical_map": [start, rows[0], start, rows[1]]}
    assert json.loads(text["sglang"]) == table
    assert json.loads(text["vllm"]) == rows
    assert text["tensorrt-llm"] == (
        "initial_global_assignments:\n  1: [0, 1, 3, 2, 3, 1]\n  3: [3, 0, 2, 0, 1, 2]\n"
        "layer_updates_per_iter: 0\nnum_slots: 6\n"
    )
    formats.write(tmp_path / "e.npz", tiny())
    with np.load(tmp_path / "e.npz") as arrays:
        assert (arrays["phy2log"] == rows).all()
        assert arrays["logcnt"].tolist() == [[1, 2, 1, 2], [2, 1, 2, 1]]
        assert arrays["log2phy"][0].tolist() == [[0, -1], [1, 5], [3, -1], [2, 4]]
        assert arrays["log2phy"][1].tolist() == [[1, 3], [4, -1], [2, 5], [0, -1]]
    formats.write(tmp_path / "r.json", contiguous(4, 2, (0, 1)), "vllm-ranks")
    assert json.loads((tmp_path / "r.json").read_text()) == {"expert_to_ep_rank": [0, 0, 1, 1]}


TRT = {
    "one item a line": "num_slots: 4\ninitial_global_assignments:\n  3:\n  - 0\n  - 2\n  - 1\n"
    "  - 3\n",
    "wrapped": "initial_global_assignments:\n  3: [0, 2,\n    1, 3]\nnum_slots: 4\nep_size: 2\n",
    "commented": "---\n# made by hand\nnum_slots: 4  # all\n\ninitial_global_assignments:\n\n"
    "    3: [0, 2, 1, 3]  # the first\r\nlayer_updates_per_iter: 2",
}


@pytest.mark.parametrize("text", TRT.values(), ids=TRT)
def test_the_forms_that_yaml_writers_choose_are_read(tmp_path, text):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    placed, _ = formats.read(file, ranks=2)
    assert (placed.layers, placed.slots.tolist()) == ((3,), [[0, 2, 1, 3]])


HEAD = "num_slots: 4\ninitial_global_assignments:\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD, "needs num_slots"),
        ("initial_global_assignments:\n 3: [0, 1]\n", "needs num_slots"),
        (HEAD + " 3: [0, 1, 2]\n", "holds 3 slots; num_slots is 4"),
        (HEAD + " 3: [0, 1, 2, 3]\n 3: [0, 1, 2, 3]\n", "layer 3: is twice"),
        (HEAD + " 3: [0, 1, 2, 3]\nnum_slots: 4\n", "num_slots: is twice"),
        (HEAD + " 3: [0, 1 2, 3, 3]\n", "list of experts"),
        (HEAD + " 3: []\n", "list of experts"),
        (HEAD + " 3: [0, 1, 2, 3000000000]\n", "list of experts"),
        (HEAD + " 3: [0, 1, 2, -3]\n", "does not"),
        (HEAD + " 3: [0, 1, 2, 3\n", "does not"),
        (HEAD + " 3: &a [0, 1, 2, 3]\n 4: *a\n", "does not"),
        (HEAD + " 3: !!python/object:os.system [0]\n", "does not"),
        (HEAD + " x: [0, 1, 2, 3]\n", "does not"),
        ("num_slots: 4\nmodel: 3\n", "none of num_slots"),
        ("num_slots:\n 3: [0]\n", "none of num_slots"),
        (HEAD + " 3: [0, 1, 2, 2]\n", "gives expert 3 of layer 3 no slot"),
        (HEAD + " 3: [0, 0, 1, 2]\n", r"no slot \(and 1 more faults\)"),
        (HEAD + " 3: [0, 1, 2, 3]\nep_size: 4\n", "was made for 4 ranks"),
        (HEAD + " 3: [0, 1, 2, 3]\nep_size: 3\n", "was made for 3 ranks"),
        ("\xff", "no placement file|no text|does not"),
    ],
)
def test_files_of_tensorrt_llm_that_cannot_be_are_refused(tmp_path, text, words):
    file = tmp_path / "map.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=words):
        formats.read(file, "tensorrt-llm", experts=4, ranks=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[0, 1, [2, 3]]", "mixes numbers and rows"),
        ("[]", "equally long rows"),
        ("[[0, 1], [0]]", "equally long rows"),
        ("[[0, 1, 2, -1]]", "below 0"),
        ("[[0, 1, 2, 4]]", r"outside 0\.\.3"),
        ("[[0, 1, 2]]", "do not share evenly"),
        ("[[0, 1, 2, 3], [0, 1, 2, 3]]", "holds 2 layers; 1 are named"),
        ('["x"]', "as vLLM reads it"),
        ('{"expert_to_ep_rank": [0, 0, 0, 1]}', "unequal numbers"),
        ('{"expert_to_ep_rank": [0, 0, 9, 9]}', "rank 9 for 4 experts"),
        ('{"expert_to_ep_rank": [0, 1, 2, 3]}', "was made for 4 ranks"),
        ('{"expert_to_ep_rank": [0, 1]}', "was made for 2 experts"),
        ('{"expert_to_ep_rank": [0, 1], "note": 1}', "nothing else"),
        ("x", "no placement file"),
    ],
)
def test_files_of_vllm_that_cannot_be_are_refused(tmp_path, text, words):
    file = tmp_path / "map.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=words):
        formats.read(file, layers=(1,), experts=4, ranks=2)


def test_one_row_of_vllm_stands_for_all_layers(tmp_path):
    for text in ("[2, 0, 3, 1]", '{"expert_to_ep_rank": [0, 1, 0, 1]}'):
        (tmp_path / "map.json").write_text(text)
        placed, _ = formats.read(tmp_path / "map.json", layers=(1, 2, 5), ranks=2)
        assert by_rank(placed).tolist() == [[[0, 2], [1, 3]]] * 3


def test_what_the_ranks_file_of_vllm_cannot_say_is_not_written(tmp_path):
    layers = ExpertMap(
        slots=np.array([[0, 1], [1, 0]], np.int32),
        ranks=np.array([0, 1], np.int32),
        layers=(0, 4),
        experts=2,
    )
    for placed, words in ((tiny(), "knows no copies"), (layers, "layer 4 is placed otherwise")):
        with pytest.raises(BadInput, match=words):
            formats.write(tmp_path / "r.json", placed, "vllm-ranks")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phy2log": None}, "lacks phy2log"),
        ({"phy2log": np.ones((2, 6))}, "needs whole numbers"),
        ({"phy2log": np.full((2, 6), -1)}, "below 0"),
        ({"phy2log": np.full((2, 6), 2**30)}, "beyond all bounds"),
        ({"logcnt": np.ones((2, 4), int)}, "logcnt: contradicts"),
        ({"logcnt": np.ones((2, 3), int)}, "other experts"),
        ({"logcnt": np.ones(4, int)}, "needs whole numbers"),
        ({"log2phy": np.full((2, 4, 2), -1)}, "log2phy: contradicts"),
        ({"log2phy": np.full((2, 4, 1), -1)}, "another shape"),
        ({"log2phy": np.full((2, 4), -1)}, "another shape"),
        ({"logcnt": None, "log2phy": None}, None),
    ],
)
def test_arrays_of_eplb_must_agree_with_one_another(tmp_path, change, words):
    formats.write(tmp_path / "e.npz", tiny())
    with np.load(tmp_path / "e.npz") as arrays:
        parts: dict[str, Any] = {**arrays} | change
    kept: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
    np.savez(tmp_path / "e.npz", **kept)
    if words is None:
        assert formats.read(tmp_path / "e.npz", ranks=2)[0].layers == (0, 1)
        return
    with pytest.raises(BadInput, match=words):
        formats.read(tmp_path / "e.npz", ranks=2)


def test_wider_padding_and_another_order_of_copies_are_the_same_arrays(tmp_path):
    formats.write(tmp_path / "e.npz", tiny())
    with np.load(tmp_path / "e.npz") as arrays:
        parts: dict[str, Any] = {**arrays}
    wide = np.pad(parts["log2phy"][:, :, ::-1], ((0, 0), (0, 0), (0, 5)), constant_values=-1)
    parts["log2phy"] = wide
    np.savez(tmp_path / "e.npz", **parts)
    placed, _ = formats.read(tmp_path / "e.npz", layers=(1, 3), ranks=2)
    assert (placed.slots == tiny().slots).all()


def table(rows: list[list[int]]) -> bytes:
    return json.dumps({"physical_to_logical_map": rows}).encode()


def test_the_validator_names_every_fault(tmp_path):
    file = tmp_path / "map.json"
    file.write_bytes(table([[0, 0, 1, 2], [0, 1, 2, 3], [3, 3, 3, 3]]))
    assert formats.check(file, experts=4, ranks=2) == [
        "gives expert 3 of layer 0 no slot",
        "gives expert 0 of layer 2 no slot",
        "gives expert 1 of layer 2 no slot",
        "gives expert 2 of layer 2 no slot",
        "rank 0 holds expert 0 of layer 0 twice: a wasted slot, and wrong results in some engines",
        "rank 0 holds expert 3 of layer 2 twice: a wasted slot, and wrong results in some engines",
        "rank 1 holds expert 3 of layer 2 twice: a wasted slot, and wrong results in some engines",
    ]
    assert formats.check(file, experts=4, ranks=3) == [
        "has 4 slots, which 3 ranks do not share evenly"
    ]
    assert formats.check(file, experts=9) == ["has 4 slots for 9 experts: 5 get no slot"]
    # Without ranks copies cannot be judged.
    assert len(formats.check(file, experts=4)) == 4


def test_a_file_is_held_against_the_layers_of_its_model(tmp_path):
    model = load.model("deepseek-v3")
    hidden, moe = len(model.layers), model.moe_layers
    assert (hidden, moe[0], moe[-1], model.prediction_layers) == (61, 3, 60, 1)
    placed = contiguous(256, 8, moe)
    sglang, trt, vllm = (tmp_path / name for name in ("a.json", "b.yaml", "c.json"))
    formats.write(sglang, placed, "sglang", model_layers=hidden)
    formats.write(trt, placed, "tensorrt-llm")
    formats.write(vllm, placed, "vllm")
    assert formats.check(sglang, model=model, ranks=8) == []
    assert formats.check(vllm, model=model, ranks=8) == []
    assert formats.check(trt, model=model, ranks=8) == [
        "lacks layer 61, a prediction layer of deepseek-v3"
    ]
    formats.write(trt, contiguous(256, 8, range(2, 62)), "tensorrt-llm")
    assert formats.check(trt, model=model) == ["speaks of layer 2, which is dense in deepseek-v3"]
    formats.write(trt, contiguous(256, 8, (*moe[1:], 61, 62)), "tensorrt-llm")
    assert formats.check(trt, model=model) == [
        "lacks layer 3, which holds experts in deepseek-v3",
        "speaks of layer 62; deepseek-v3 has 61 layers",
    ]
    formats.write(sglang, contiguous(256, 8, range(58)), "sglang")
    assert formats.check(sglang, model=model) == [
        "holds 58 layers; deepseek-v3 has 61 hidden layers"
    ]
    formats.write(vllm, contiguous(256, 8, range(61)), "vllm")
    assert formats.check(vllm, model=model) == ["holds 61 layers; deepseek-v3 has 58 MoE layers"]
    formats.write(vllm, contiguous(128, 8, moe), "vllm")
    assert formats.check(vllm, model=model) == ["has 128 slots for 256 experts: 128 get no slot"]


def test_maps_that_no_engine_loads_are_not_written(tmp_path):
    twice = ExpertMap(
        slots=np.array([[0, 0, 1, 2]], np.int32),
        ranks=np.array([0, 0, 1, 1], np.int32),
        layers=(0,),
        experts=3,
    )
    mixed = ExpertMap(
        slots=np.array([[0, 1]], np.int32),
        ranks=np.array([1, 0], np.int32),
        layers=(0,),
        experts=2,
    )
    for name, ending in ENDINGS.items():
        for placed, words in (
            (twice, "twice"),
            (mixed, "rank order"),
            (contiguous(3, 2, (0,)), "equally"),
        ):
            with pytest.raises(BadInput, match=words):
                formats.write(tmp_path / f"m{ending}", placed, name)
        with pytest.raises(BadInput, match="none has more"):
            formats.write(tmp_path / f"m{ending}", contiguous(4, 2, (10**6,)), name)
        with pytest.raises(BadInput, match="by the ending"):
            formats.write(tmp_path / "m.txt", contiguous(4, 2, (0,)), name)
    with pytest.raises(BadInput, match="no engine's file ends so"):
        formats.write(tmp_path / "m.txt", contiguous(4, 2, (0,)))
    with pytest.raises(
        BadInput, match="no placement format is called 'sglan'; did you mean sglang"
    ):
        formats.write(tmp_path / "m.json", contiguous(4, 2, (0,)), "sglan")
    assert list(tmp_path.iterdir()) == []


def test_layers_and_sizes_that_contradict_a_file_are_refused(tmp_path):
    path = tmp_path / "m.yaml"
    formats.write(path, tiny())
    with pytest.raises(BadInput, match="layer 2 is asked for"):
        formats.read(path, layers=(1, 2), ranks=2)
    with pytest.raises(BadInput, match="give their number"):
        formats.read(path)
    for layers in ((), (1, 1), (-1,)):
        with pytest.raises(BadInput, match="each once"):
            formats.read(path, layers=layers, ranks=2)
    assert formats.read(path, layers=(3,), ranks=2)[0].layers == (3,)


def _samples() -> dict[str, bytes]:
    rows = [[0, 1, 3, 2, 3, 1], [3, 0, 2, 0, 1, 2]]
    stream = io.BytesIO()
    np.save(stream, np.array(rows))
    return {
        "a.json": table(rows),
        "b.json": json.dumps(rows).encode(),
        "c.json": b'{"expert_to_ep_rank": [0, 0, 1, 1]}',
        "d.yaml": b"num_slots: 6\ninitial_global_assignments:\n  1: [0, 1, 3, 2, 3, 1]\n",
        "e.npy": stream.getvalue(),
    }


@pytest.mark.parametrize("name", _samples())
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_damaged_files_give_a_map_or_a_sentence(tmp_path_factory, name, data):
    damaged = bytearray(_samples()[name])
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    path.write_bytes(damaged)
    with contextlib.suppress(BadInput):
        assert all(isinstance(fault, str) for fault in formats.check(path, experts=4))
    with contextlib.suppress(BadInput):
        placed, _ = formats.read(path, ranks=2)
        assert formats.map_faults(placed) == []
