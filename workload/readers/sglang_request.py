"""Routed experts in SGLang's answers (`return_routed_experts`).

`/generate` has them in `meta_info.routed_experts`, the OpenAI endpoints in `sglext.routed_experts`:
base64 of little-endian int32 `[rows, hidden layers, k]`, flat. Rows start at
`routed_experts_start_len` and go to the last token but one, which is the last that was computed;
older builds append one. The payload does not tell its shape: k must be given, and the number of
layers follows from the tokens of the request. Ids are taken for logical experts; some paths (NPU)
record them after the map to physical slots, which differ once the server moved or copied experts.
Source: sgl-project/sglang, python/sglang/srt/state_capturer/routed_experts.py.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import msgspec
import numpy as np

from ...base import BadInput
from ..trace import RoutingTrace
from .asked import Asked
from .json_records import records
from .request_ids import Answer, joined


class _Told(msgspec.Struct):
    routed_experts: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    routed_experts_start_len: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    meta_info: _Told | None = None
    sglext: _Told | None = None
    usage: _Usage | None = None


def read_sglang_answers(path: str | Path, asked: Asked) -> RoutingTrace:
    """The trace of one answer, a list of answers, or one answer a line."""
    path = Path(path)
    if asked.top_k is None:
        raise BadInput("does not tell how many experts a token takes: state it", key="top_k")
    found: list[Answer] = []
    for answer in records(path, _Answer):
        told = answer.meta_info or answer.sglext
        if told is None or told.routed_experts is None:
            raise BadInput(
                "holds no routed_experts: the server needs --enable-return-routed-experts",
                file=path,
                key=f"answer {len(found)}",
            )
        found.append(_answer(told, answer.usage or _Usage(), asked.top_k, asked, path))
    return joined(path, found, asked, "SGLang answers")


def _answer(told: _Told, usage: _Usage, top_k: int, asked: Asked, path: Path) -> Answer:
    try:
        data = base64.b64decode(told.routed_experts or "", validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadInput(f"is no base64: {fault}", file=path, key="routed_experts") from None
    if not data or len(data) % 4:
        raise BadInput(f"holds {len(data)} bytes, no int32", file=path, key="routed_experts")
    flat = np.frombuffer(data, "<i4")
    prompt = told.prompt_tokens if told.prompt_tokens is not None else usage.prompt_tokens
    made = told.completion_tokens
    made = usage.completion_tokens if made is None else made
    start = told.routed_experts_start_len
    expected = None if prompt is None or made is None else prompt + made - 1 - start
    if start < 0 or start > 2**40 or (expected is not None and not 0 < expected < 2**40):
        raise BadInput("tells an impossible number of tokens", file=path, key="routed_experts")
    rows, layers = _shape(len(flat), top_k, asked.hidden_layers, expected, path)
    ids = flat.reshape(rows, layers, top_k).astype(np.int64)
    # What older builds append belongs to the last token, which was never computed.
    return Answer(ids if expected is None else ids[:expected], start, prompt)


def _shape(
    values: int, top_k: int, layers: int | None, expected: int | None, path: Path
) -> tuple[int, int]:
    """Rows and layers of a payload of so many values."""
    if layers is None and expected is None:
        raise BadInput(
            "tells neither its tokens nor its layers: state the hidden layers of the model",
            file=path,
            key="hidden_layers",
        )
    free = values // top_k // (layers or 1)
    options = [free] if expected is None else [expected, expected + 1]
    fits = [
        (rows, values // (rows * top_k))
        for rows in options
        if rows and values % (rows * top_k) == 0 and layers in (None, values // (rows * top_k))
    ]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise BadInput(
            f"may hold {fits[0][1]} or {fits[1][1]} layers: state the hidden layers of the model",
            file=path,
            key="hidden_layers",
        )
    tokens = "" if expected is None else f" for {expected} computed tokens"
    raise BadInput(
        f"holds {values} ids{tokens}, which do not divide into {layers or 'whole'} layers of "
        f"{top_k} choices: is top_k or the number of hidden layers another?",
        file=path,
        key="routed_experts",
    )
