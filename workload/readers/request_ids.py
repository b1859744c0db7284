"""Ids that engines hand back with each answer, joined to one trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..trace import NOTHING, RoutingTrace
from .asked import Asked, trace_of
from .columns import MOST_CELLS


class Answer(NamedTuple):
    """ids: `[tokens, layers, k]`. start: position of the first. prompt: its tokens, if known."""

    ids: NDArray[np.int64]
    start: int
    prompt: int | None


def joined(path: Path, answers: Sequence[Answer], asked: Asked, note: str) -> RoutingTrace:
    """The trace of all answers, a request each. Layers without any id but 0 are dense ones.

    A token cannot take expert 0 twice: where k > 1, zeros in all places are tokens that the engine
    did not record, and are left out.
    """
    if not answers:
        raise BadInput("holds no routed experts", file=path)
    if any(answer.ids.shape[1:] != answers[0].ids.shape[1:] for answer in answers):
        raise BadInput("holds answers of different models", file=path, key="routed_experts")
    if sum(answer.ids.size for answer in answers) > MOST_CELLS:
        raise BadInput("holds more ids than are read", file=path, key="routed_experts")
    for number, answer in enumerate(answers):
        if not answer.ids.any():
            raise BadInput(NOTHING, file=path, key=f"routed_experts of answer {number}")
    ids = np.concatenate([answer.ids for answer in answers])
    layers = np.flatnonzero(ids.any(axis=(0, 2)))
    notes = [note]
    if dense := ids.shape[1] - len(layers):
        notes.append(f"{dense} layers of zeros left out")
    ids = ids[:, layers]
    keep = np.full(len(ids), True)
    if ids.shape[2] > 1:
        keep = np.all(np.any(ids, axis=2), axis=1)
    if lost := int((~keep).sum()):
        notes.append(f"{lost} tokens without record left out")
    if not keep.any():
        raise BadInput(NOTHING, file=path, key="routed_experts")
    lengths = [len(answer.ids) for answer in answers]
    position = np.concatenate([answer.start + np.arange(len(answer.ids)) for answer in answers])
    prompts = [answer.prompt for answer in answers if answer.prompt is not None]
    decode = None
    if len(prompts) == len(answers):
        decode = (position >= np.repeat(prompts, lengths))[keep]
    return trace_of(
        path,
        ids[keep],
        asked,
        notes,
        layers=tuple(layers.tolist()),
        request_id=np.repeat(np.arange(len(answers)), lengths)[keep],
        position=position[keep],
        is_decode=decode,
    )
