"""Are the ids in answers of SGLang and vLLM read as miniatures worked out by hand say?"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesaic.base import BadInput
from moesaic.workload import RoutingTrace, readers

# Two tokens of a prompt and one generated; layer 0 is dense, layers 1 and 2 choose two of four.
IDS = np.array([[[0, 1], [2, 3]], [[1, 0], [3, 2]], [[2, 1], [0, 3]]])
WHOLE = np.concatenate([np.zeros((3, 1, 2), int), IDS], axis=1)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def b64(ids: Any, dtype: str = "<i4") -> str:
    return base64.b64encode(np.asarray(ids).astype(dtype).tobytes()).decode()


def npy64(ids: Any, dtype: str = "<i2") -> str:
    stream = io.BytesIO()
    np.save(stream, np.asarray(ids).astype(dtype))
    return base64.b64encode(stream.getvalue()).decode()


def generated(ids: Any = WHOLE, prompt: int = 2, made: int = 2, **more: Any) -> dict[str, Any]:
    told = {"prompt_tokens": prompt, "completion_tokens": made, "routed_experts": b64(ids)}
    return {"text": "x", "meta_info": told | more}


def chat(routed: Any, prompt: Any = None, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 2, "completion_tokens": 2}
    choices = [{"index": i, "routed_experts": one} for i, one in enumerate(routed)]
    return {"choices": choices, "usage": usage, "prompt_routed_experts": prompt} | more


def write(path: Path, content: bytes | Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else text(content))
    return path


def trace(path: Path, **asked: Any) -> RoutingTrace:
    routing = readers.load(path, **asked)
    assert isinstance(routing, RoutingTrace)
    return routing


def listed(column: Any) -> Any:
    assert column is not None
    return column.tolist()


@pytest.mark.parametrize(
    "answer",
    [
        generated(),
        generated(np.concatenate([WHOLE, np.zeros((1, 3, 2))])),  # an older build appends a row
        {
            "choices": [{"message": {}}],
            "usage": {"prompt_tokens": 2, "completion_tokens": 2},
            "sglext": {"routed_experts": b64(WHOLE)},
        },
    ],
)
def test_an_answer_of_sglang_gives_the_computed_tokens_of_the_moe_layers(tmp_path, answer):
    one = trace(write(tmp_path / "a.json", answer), top_k=2, hidden_layers=3)
    assert (one.layers, one.experts) == ((1, 2), 4)
    assert (one.expert_ids == IDS).all()
    assert listed(one.is_decode) == [False, False, True]
    assert "largest id + 1: 4" in one.source


def test_answers_of_sglang_are_joined_from_lists_and_lines(tmp_path):
    late = generated(WHOLE[1:], routed_experts_start_len=1)
    for name, content in (
        ("list.json", text([generated(), late])),
        ("lines.jsonl", text(generated()) + b"\n\n" + text(late) + b"\n"),
        ("pretty.json", json.dumps([generated(), late], indent=1).encode()),
    ):
        both = trace(write(tmp_path / name, content), top_k=2, experts=8, hidden_layers=3)
        assert both.experts == 8
        assert listed(both.request_id) == [0, 0, 0, 1, 1]
        assert listed(both.position) == [0, 1, 2, 1, 2]
        assert listed(both.is_decode) == [False, False, True, False, True]


def test_tokens_that_sglang_did_not_record_are_left_out_and_counted(tmp_path):
    ids = WHOLE.copy()
    ids[1] = 0
    one = trace(write(tmp_path / "a.json", generated(ids)), top_k=2)
    assert listed(one.position) == [0, 2]
    assert "1 tokens without record left out" in one.source


@pytest.mark.parametrize(
    ("answer", "asked", "words"),
    [
        (generated(np.zeros((3, 3, 2))), {"top_k": 2}, "nothing was recorded"),
        ([generated(), generated(np.zeros((3, 3, 2)))], {"top_k": 2}, "of answer 1"),
        (generated(), {}, "how many experts"),
        (generated(), {"top_k": 4}, "do not divide"),
        (generated(np.ones((4, 3, 2))), {"top_k": 2}, "may hold 4 or 3 layers"),
        (generated(), {"top_k": 2, "hidden_layers": 4}, "do not divide"),
        (generated(made=9), {"top_k": 2, "hidden_layers": 3}, "do not divide"),
        (generated(prompt=-5), {"top_k": 2}, "impossible number"),
        (generated(routed_experts_start_len=-1), {"top_k": 2}, "impossible number"),
        ({"meta_info": {"routed_experts": b64(WHOLE)}}, {"top_k": 2}, "state the hidden layers"),
        (generated(routed_experts="!!"), {"top_k": 2}, "no base64"),
        (generated(routed_experts="AAAA"), {"top_k": 2}, "no int32"),
        (generated(routed_experts=None), {"top_k": 2}, "holds no routed_experts"),
        (generated(routed_experts=[1]), {"top_k": 2}, "not what was expected"),
        (generated(WHOLE - 1), {"top_k": 2, "experts": 2}, r"0\.\.1"),
        (generated(WHOLE * 10**5), {"top_k": 2}, "1 to 32767"),
        ([generated(), generated(WHOLE[:, :2])], {"top_k": 2}, "different models"),
        (generated(), {"top_k": 2, "layers": (1, 4)}, "nothing of layer 4; it holds 1-2"),
    ],
)
def test_answers_of_sglang_that_cannot_be_are_refused(tmp_path, answer, asked, words):
    with pytest.raises(BadInput, match=words):
        readers.load(write(tmp_path / "a.json", answer), **asked)


@pytest.mark.parametrize(
    "answer",
    [
        chat([IDS[2:].tolist()], IDS[:2].tolist()),
        chat([WHOLE[2:].tolist()], WHOLE[:2].tolist()),
        chat([npy64(IDS)]),
        chat([npy64(WHOLE, "<i4")]),
    ],
)
def test_both_kinds_of_vllm_answers_give_prompt_and_answer(tmp_path, answer):
    one = trace(write(tmp_path / "a.json", answer), layers=(1, 2))
    assert (one.layers, one.experts) == ((1, 2), 4)
    assert (one.expert_ids == IDS).all()
    assert listed(one.position) == [0, 1, 2]
    assert listed(one.is_decode) == [False, False, True]


@pytest.mark.parametrize(
    "answer",
    [
        chat([IDS[2:].tolist(), IDS[1:].tolist()], IDS[:2].tolist()),
        chat([npy64(IDS), npy64(np.concatenate([IDS[:2], IDS[1:]]))]),
    ],
)
def test_several_choices_of_vllm_share_one_prompt(tmp_path, answer):
    both = trace(write(tmp_path / "a.json", answer))
    assert listed(both.request_id) == [0, 0, 0, 1, 1]
    assert listed(both.position) == [0, 1, 2, 2, 3]
    assert (both.expert_ids[3:] == IDS[1:]).all()
    assert both.source.endswith("layers counted from 0")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (chat([None]), "holds no routed_experts"),
        (chat([[[[0, 0]]]]), "nothing was recorded"),
        (chat([[[[0, 1]], [[0]]]]), "unequal length"),
        (chat([[[[0, 1]]]], [[[0, 1, 2]]]), "different shapes"),
        (chat(["AAAA"]), "no .npy array"),
        (chat([npy64(IDS, "<f4")]), "needs three axes"),
        (chat([npy64(IDS[0])]), "needs three axes"),
        (chat([[[[0, -2]]]]), "allowed are"),
        (chat([[[[0, 10**30]]]]), "not what was expected|three axes"),
        (chat([[[[0, 2**63]]]]), "allowed are|three axes"),
        (chat([npy64(np.full((1, 1, 2), 2**64 - 1, np.uint64), "<u8")]), "allowed are"),
        (chat([IDS.tolist()], usage={"prompt_tokens": -1}), "not be negative"),
        (chat([3]), "not what was expected"),
    ],
)
def test_answers_of_vllm_that_cannot_be_are_refused(tmp_path, answer, words):
    with pytest.raises(BadInput, match=words):
        readers.load(write(tmp_path / "a.json", answer))


SAMPLES: dict[str, bytes] = {
    "sglang.json": text(generated()),
    "vllm-lists.json": text(chat([IDS[2:].tolist()], IDS[:2].tolist())),
    "vllm-text.json": text(chat([npy64(IDS)])),
}


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_answers_are_routing_or_one_sentence(tmp_path_factory, name, data):
    folder = tmp_path_factory.getbasetemp() / "damaged-answers"
    folder.mkdir(exist_ok=True)
    damaged = bytearray(SAMPLES[name])
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = write(folder / name, bytes(damaged))
    with contextlib.suppress(BadInput):
        assert isinstance(readers.load(path, top_k=2), RoutingTrace)
