"""What vLLM records: routed experts in its answers, and the load window of its EPLB.

Answers (`--enable-return-routed-experts`): `prompt_routed_experts [prompt, layers, k]` beside the
`routed_experts [generated, layers, k]` of each choice (0.21); newer builds give each choice one
string, base64 of a .npy `[prompt + generated - 1, layers, k]`. Layers are the MoE layers, or all
hidden layers with zeros in dense ones. The window is `expert_load_window`, `[window, layers,
physical]`, with `physical_to_logical_map [layers, physical]`, saved as .npz or .pt.
Source: vllm-project/vllm, vllm/distributed/eplb/eplb_state.py and its OpenAI protocol.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..counts import RoutingCounts
from ..trace import NOTHING, RoutingTrace
from .asked import Asked, told
from .columns import built, cube, logical, nested_ids
from .json_records import records
from .numpy_file import npy_array
from .request_ids import Answer, joined

Ids = list[list[list[int]]]
WINDOW, OWNERS = "expert_load_window", "physical_to_logical_map"


class _Choice(msgspec.Struct):
    routed_experts: Ids | str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    prompt_routed_experts: Ids | None = None
    usage: _Usage | None = None


def read_vllm_answers(path: str | Path, asked: Asked) -> RoutingTrace:
    """The trace of one answer, a list of answers, or one answer a line."""
    path = Path(path)
    found: list[Answer] = []
    for answer in records(path, _Answer):
        before = len(found)
        found += _answers(answer, path)
        if len(found) == before:
            raise BadInput(
                "holds no routed_experts: the server needs --enable-return-routed-experts",
                file=path,
                key=f"answer {before}",
            )
    return joined(path, found, asked, "vLLM answers")


def _answers(answer: _Answer, path: Path) -> list[Answer]:
    """One a choice; the prompt ran once, so only the first choice keeps it."""
    prompt = None
    length = answer.usage.prompt_tokens if answer.usage else None
    if answer.prompt_routed_experts:
        prompt = nested_ids(answer.prompt_routed_experts, path, "prompt_routed_experts")
        length = len(prompt)
    if length is not None and not 0 <= length < 2**40:
        raise BadInput("must not be negative", file=path, key="prompt_tokens", value=length)
    found: list[Answer] = []
    for choice in answer.choices:
        skip = length or 0 if found else 0
        if isinstance(choice.routed_experts, str):
            ids = _from_text(choice.routed_experts, path)[skip:]
        else:
            ids = _from_lists(None if found else prompt, choice.routed_experts, path)
            skip = 0 if prompt is not None and not found else length or 0
        if len(ids):
            found.append(Answer(ids, skip, length))
    return found


def _from_lists(
    prompt: NDArray[np.int64] | None, made: Ids | None, path: Path
) -> NDArray[np.int64]:
    """The ids of prompt and answer, either of which may be missing."""
    parts = [] if prompt is None else [prompt]
    parts += [nested_ids(made, path, "routed_experts")] if made else []
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise BadInput("holds prompt and answer of different shapes", file=path)
    return np.concatenate(parts) if parts else np.zeros((0, 1, 1), np.int64)


def _from_text(text: str, path: Path) -> NDArray[np.int64]:
    key = "routed_experts"
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise BadInput(f"is no base64: {fault}", file=path, key=key) from None
    return cube(npy_array(data, path, key), path, key)


def is_window(value: Any) -> bool:
    return isinstance(value, Mapping) and WINDOW in value


def load_window(path: Path, value: Mapping[str, Any]) -> RoutingCounts:
    """The counts of a saved window, by logical expert; steps that never came are left out."""
    counts, owners = value[WINDOW], value.get(OWNERS)
    if not isinstance(counts, np.ndarray) or not isinstance(owners, np.ndarray):
        raise BadInput(f"needs the arrays {WINDOW} and {OWNERS}", file=path)
    loads = logical(counts, owners, path)
    seen = np.flatnonzero(loads.any(axis=(1, 2)))
    if not len(seen):
        raise BadInput(NOTHING, file=path)
    return built(
        RoutingCounts,
        path,
        loads=loads[seen],
        layers=tuple(range(loads.shape[1])),
        names=tuple(f"step {i}" for i in seen),
        source=told(path, "vLLM load window"),
    )
