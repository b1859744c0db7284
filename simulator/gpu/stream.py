"""Operators that only move data: normalisations, residual sums, activations, rotary embeddings,
look-ups, quantisation of activations, writes to the key-value cache.

Bytes come from memory, or from the cache while all of them fit; few rows keep few SMs at work, and
one SM has only so many bytes under way. All arrays are `[calls]`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from .constants import Constants
from .machine import Figure, Machine

Floats = NDArray[np.float64]
Numbers = Floats | float
"""`[calls]`, or one number for all of them."""

TERMS = ("launch", "stream", "few_rows")
"""The parts of a call's time; they add up to it."""

OVERLAP = 4.0
"""Exponent that joins the machine's pace with that of the SMs at work: nearly the slower one."""


class StreamCall(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one operator: `[calls]` each, or one number for all.

    moved_bytes: read and written, every operand once. rows: that are worked on independently, at
    most one SM each. fresh: whether the operands were touched just before, so that the cache may
    hold them.
    """

    moved_bytes: Numbers
    rows: Numbers
    fresh: bool = True

    def __post_init__(self) -> None:
        for name in ("moved_bytes", "rows"):
            if not np.all(np.asarray(getattr(self, name)) > 0):
                raise BadInput("must be positive for every call", key=name)


class StreamConstants(Constants, frozen=True, kw_only=True, tag="stream"):
    """Five numbers of an operator's kernel.

    launch_s: what a call costs however small it is. dram_share: of the memory's bandwidth, with
    every operand counted once; kernels that pass twice or load few bytes at a time reach little.
    cache_gain: the pace of bytes in the cache over that. held_share: of the cache, that may hold
    the operands. unit_gain: bandwidth that one SM can draw, over its even share of the memory's
    (derived: by Little's law, bytes that a row's threads have under way over the latency).
    """

    launch_s: Annotated[float, msgspec.Meta(ge=5e-7, le=5e-5)] = 2.5e-6
    dram_share: Annotated[float, msgspec.Meta(ge=0.05, le=1)] = 0.6
    cache_gain: Annotated[float, msgspec.Meta(ge=1, le=12)] = 1.6
    held_share: Annotated[float, msgspec.Meta(ge=0.05, le=2)] = 0.4
    unit_gain: Annotated[float, msgspec.Meta(ge=0.02, le=20)] = 0.6


OPERATORS: dict[str, StreamConstants] = {
    "embedding": StreamConstants(
        launch_s=1.7e-6, dram_share=0.15, cache_gain=1.2, held_share=1.2, unit_gain=0.34
    ),
    "layer-norm": StreamConstants(
        launch_s=3.3e-6, dram_share=0.32, cache_gain=1.9, held_share=0.44, unit_gain=0.59
    ),
    "rope": StreamConstants(
        launch_s=2.0e-6, dram_share=0.48, cache_gain=2.0, held_share=0.51, unit_gain=0.51
    ),
    "activation": StreamConstants(
        launch_s=1.5e-6, dram_share=1.0, cache_gain=1.0, held_share=0.05, unit_gain=0.54
    ),
    "add": StreamConstants(
        launch_s=1.5e-6, dram_share=0.86, cache_gain=1.5, held_share=0.69, unit_gain=3.6
    ),
}
"""Operator -> constants of PyTorch's and vLLM's kernels of 2024, A100 and H100 fitted together on
the operators that Vidur timed (microsoft/vidur 7d475133, MIT; milliseconds to three places, so a
call of 5 us is known to 10% only)."""


def starts(family: str) -> tuple[StreamConstants, ...]:
    """Where fits begin: the operator that the family's name ends in, else a middling kernel."""
    return (OPERATORS.get(family.rpartition("/")[2], StreamConstants()),)


def stream_terms(
    call: StreamCall, machine: Machine, constants: StreamConstants
) -> dict[str, Floats]:
    """Seconds of each of TERMS: `[calls]`; their sum is the call's time.

    stream: the bytes at the machine's pace. few_rows: how much longer it takes where fewer rows
    than SMs, or SMs with few bytes under way, set the pace.
    """
    moved, rows = (np.asarray(x, np.float64) for x in (call.moved_bytes, call.rows))
    moved, rows = np.broadcast_arrays(moved, rows)
    stream_s = _stream_s(moved, call.fresh, machine, constants)
    unit_bytes_per_s = constants.unit_gain * machine.bandwidth_bytes_per_s / machine.units
    drawn_s = moved / (np.minimum(rows, machine.units) * unit_bytes_per_s)
    joined = (stream_s**OVERLAP + drawn_s**OVERLAP) ** (1 / OVERLAP)
    return {
        "launch": np.full(moved.shape, constants.launch_s),
        "stream": stream_s,
        "few_rows": joined - stream_s,
    }


def _stream_s(moved: Floats, fresh: bool, machine: Machine, constants: StreamConstants) -> Floats:
    """Seconds of the bytes, those that the cache holds at its pace."""
    rate: Figure = constants.dram_share * machine.bandwidth_bytes_per_s
    if not fresh:
        return np.asarray(moved / rate)
    held = np.minimum(constants.held_share * machine.cache_bytes / moved, 1.0)
    return np.asarray(moved * (1 - held + held / constants.cache_gain) / rate)
