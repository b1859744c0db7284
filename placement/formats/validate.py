"""What an engine would choke on in a map of experts, as sentences.

A missing expert is a wrong answer or a crash, a second copy on a rank a wasted slot and in some
engines a wrong result, a missing layer (dense ones counted, the prediction layer forgotten) a
crash. Sources: the validators of vllm-project/vllm PR 18343 and vllm-ascend issue 9151 ask for the
first two, NVIDIA/TensorRT-LLM PR 13974 for the third.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap, MoEModel

MOST_FAULTS = 100
"""Of each kind; a file with more is wrong as a whole."""


def map_faults(placed: ExpertMap) -> list[str]:
    """The faults of a map: none where every engine can load it."""
    counts = np.bincount(placed.ranks)
    if found := slot_faults(counts):
        return found
    if (np.diff(placed.ranks) < 0).any():
        return ["engines want the slots in rank order"]
    return table_faults(placed.slots, placed.layers, placed.experts, len(counts))


def slot_faults(slots_per_rank: NDArray[np.integer]) -> list[str]:
    """The fault of ranks `[ranks]` that hold unequal numbers of slots."""
    if (slots_per_rank == slots_per_rank[0]).all():
        return []
    return [
        "engines want equally many slots on each rank, in rank order; here are "
        f"{slots_per_rank.tolist()}: choose a number of ranks that divides the slots"
    ]


def table_faults(
    slots: NDArray[np.integer], layers: Sequence[int], experts: int, ranks: int
) -> list[str]:
    """The faults of `slots [layers, physical]`, whose ranks hold equal runs of slots."""
    physical = slots.shape[1]
    if ranks < 1 or physical % ranks:
        return [f"has {physical} slots, which {ranks} ranks do not share evenly"]
    if found := _outside(slots, layers, experts):
        return found
    if experts > physical:  # also keeps the table below no larger than the file
        return [f"has {physical} slots for {experts} experts: {experts - physical} get no slot"]
    copies = np.zeros((len(slots), experts), np.int64)
    np.add.at(copies, (np.arange(len(slots))[:, None], slots), 1)
    missing = [
        f"gives expert {expert} of layer {layers[row]} no slot"
        for row, expert in np.argwhere(copies == 0)[:MOST_FAULTS]
    ]
    by_rank = np.sort(slots.reshape(len(slots), ranks, -1), axis=2)
    twice = [
        f"rank {rank} holds expert {by_rank[row, rank, place]} of layer {layers[row]} twice: a "
        "wasted slot, and wrong results in some engines"
        for row, rank, place in np.argwhere(np.diff(by_rank, axis=2) == 0)[:MOST_FAULTS]
    ]
    return missing + twice


def _outside(slots: NDArray[np.integer], layers: Sequence[int], experts: int) -> list[str]:
    return [
        f"holds expert {slots[row, slot]} in slot {slot} of layer {layers[row]}, outside "
        f"0..{experts - 1}"
        for row, slot in np.argwhere((slots < 0) | (slots >= experts))[:MOST_FAULTS]
    ]


def layer_faults(layers: Sequence[int], model: MoEModel, prediction: bool) -> list[str]:
    """Layers that the model has and the file lacks, and the reverse, by absolute number.

    prediction: whether the engine's file speaks of the prediction (MTP) layers as well, which are
    numbered after the last hidden layer.
    """
    hidden = len(model.layers)
    extra = set(range(hidden, hidden + model.prediction_layers))
    wanted = set(model.moe_layers) | (extra if prediction else set())
    found = [
        f"lacks layer {layer}, a prediction layer of {model.name}"
        if layer in extra
        else f"lacks layer {layer}, which holds experts in {model.name}"
        for layer in sorted(wanted - set(layers))
    ]
    return found + [
        f"speaks of layer {layer}, which is dense in {model.name}"
        if layer < hidden
        else f"speaks of layer {layer}; {model.name} has {hidden} layers"
        for layer in sorted(set(layers) - wanted - extra)
    ]


def row_faults(rows: int, wanted: int, what: str, model: MoEModel) -> list[str]:
    """A file whose rows bear no numbers must have as many as the model has layers of a kind."""
    if rows == wanted:
        return []
    return [f"holds {rows} layers; {model.name} has {wanted} {what}"]


def refuse(faults: Sequence[str], file: str | Path) -> None:
    """Raises BadInput for the first of the faults, saying how many more there are."""
    if faults:
        more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
        raise BadInput(faults[0] + more, file=file)
