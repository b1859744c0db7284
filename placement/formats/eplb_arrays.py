"""The arrays that DeepSeek's EPLB returns, as .npz (all three) or .npy (the first alone).

`phy2log` int64 `[layers, physical]`, the expert in each slot; `log2phy` `[layers, experts, most
copies]`, the slots of each expert, padded with -1; `logcnt` `[layers, experts]`, its copies. Rows
are the MoE layers in order; slot s lies on rank s // (slots / ranks).
Source: deepseek-ai/EPLB, eplb.py, rebalance_experts.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap
from ...workload.readers.numpy_file import MAGIC, npy_array, read_npz
from .file import Format, Table

MOST_CELLS = 2**25


def encode_npz(placed: ExpertMap, model_layers: int | None) -> bytes:
    phy2log = placed.slots.astype(np.int64)
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        phy2log=phy2log,
        log2phy=slots_of_experts(phy2log, placed.experts),
        logcnt=placed.copies(),
    )
    return stream.getvalue()


def encode_npy(placed: ExpertMap, model_layers: int | None) -> bytes:
    stream = io.BytesIO()
    np.save(stream, placed.slots.astype(np.int64))
    return stream.getvalue()


def slots_of_experts(phy2log: NDArray[np.int64], experts: int) -> NDArray[np.int64]:
    """`log2phy`: the slots of each expert in ascending order, `[layers, experts, most copies]`."""
    rows = np.arange(len(phy2log))[:, None]
    order = np.argsort(phy2log, axis=1, kind="stable")
    owner = np.take_along_axis(phy2log, order, axis=1)
    counts = np.zeros((len(phy2log), experts), np.int64)
    np.add.at(counts, (rows, phy2log), 1)
    first = np.cumsum(counts, axis=1) - counts
    copy = np.arange(phy2log.shape[1]) - np.take_along_axis(first, owner, axis=1)
    table = np.full((*counts.shape, int(counts.max())), -1, np.int64)
    table[rows, owner, copy] = order
    return table


def decode_npz(data: bytes, path: Path) -> Table:
    """The map; the other two arrays, where there, must say the same."""
    arrays = read_npz(path)
    if "phy2log" not in arrays:
        raise BadInput("lacks phy2log", file=path)
    slots = _slots(arrays["phy2log"], path)
    if "logcnt" not in arrays:
        return Table(slots)
    copies = _checked_copies(arrays["logcnt"], slots, path)
    if "log2phy" in arrays:
        _check_slots(arrays["log2phy"], slots, copies, path)
    return Table(slots, experts=copies.shape[1])


def _checked_copies(told: NDArray[Any], slots: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """`logcnt`, which must count what `phy2log` holds."""
    if told.ndim != 2 or len(told) != len(slots) or told.dtype.kind not in "iu":
        raise BadInput("needs whole numbers [layers, experts]", file=path, key="logcnt")
    if told.size > MOST_CELLS or slots.max() >= told.shape[1]:
        raise BadInput("speaks of other experts than phy2log", file=path, key="logcnt")
    own = np.zeros(told.shape, np.int64)
    np.add.at(own, (np.arange(len(slots))[:, None], slots), 1)
    if not np.array_equal(told, own):
        raise BadInput("contradicts phy2log", file=path, key="logcnt")
    return own


def _check_slots(
    told: NDArray[Any], slots: NDArray[np.int64], copies: NDArray[np.int64], path: Path
) -> None:
    """Theirs may be padded wider, and hold the copies in any order."""
    most = int(copies.max())
    shape = told.shape
    if len(shape) != 3 or shape[:2] != copies.shape or shape[2] < most or told.size > MOST_CELLS:
        raise BadInput("has another shape than phy2log asks for", file=path, key="log2phy")
    own = np.full(shape, -1, np.int64)
    own[:, :, :most] = slots_of_experts(slots, copies.shape[1])
    if not np.array_equal(np.sort(told, axis=2), np.sort(own, axis=2)):
        raise BadInput("contradicts phy2log", file=path, key="log2phy")


def decode_npy(data: bytes, path: Path) -> Table:
    return Table(_slots(npy_array(data, path), path))


def _slots(values: NDArray[Any], path: Path) -> NDArray[np.int64]:
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "iu":
        raise BadInput(
            f"needs whole numbers [layers, physical], got {values.dtype} {values.shape}",
            file=path,
            key="phy2log",
        )
    if values.size > MOST_CELLS or values.min() < 0 or values.max() >= 2**24:
        raise BadInput("holds an expert below 0 or beyond all bounds", file=path, key="phy2log")
    return values.astype(np.int64)


EPLB = Format(
    name="eplb",
    use="phy2log, log2phy, logcnt = numpy.load(FILE).values()",
    suffixes=(".npz",),
    rows="MoE layers",
    tells=lambda start: start.startswith(b"PK"),
    encode=encode_npz,
    decode=decode_npz,
)
EPLB_NPY = Format(
    name="eplb-npy",
    use="phy2log = numpy.load(FILE)",
    suffixes=(".npy",),
    rows="MoE layers",
    tells=lambda start: start.startswith(MAGIC),
    encode=encode_npy,
    decode=decode_npy,
)
