"""Ladder: a kernel's time beyond its roofline, taken down effect by effect."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .constants import limits
from .kernels import KERNELS, AnyConstants
from .machine import Machine

Floats = NDArray[np.float64]

FLOOR, TRAFFIC, EFFICIENCY, CACHE, WAVES, TILES = (
    "launch floor",
    "activation traffic",
    "efficiency",
    "L2 traffic",
    "waves",
    "tile padding",
)
"""Reasons why a kernel is slower than its roofline, in the order in which they are taken away."""
REASONS = (FLOOR, TRAFFIC, EFFICIENCY, CACHE, WAVES, TILES)

LEAST, MOST = "least", "most"

IDEALS: dict[str, tuple[tuple[str, dict[str, str | float]], ...]] = {
    "experts": (
        (FLOOR, {"launch_cycles": LEAST, "expert_cycles": LEAST, "wave_cycles": LEAST}),
        (TRAFFIC, {"row_traffic": LEAST, "group_traffic": LEAST, "product_traffic": LEAST}),
        (
            EFFICIENCY,
            {
                "tensor_share": MOST,
                "tile_half_rows": LEAST,
                "depth_half": LEAST,
                "dram_share": MOST,
                "overlap": MOST,
                "ungated_rate": 1.0,
            },
        ),
        (CACHE, {"cache_share": MOST, "miss_share": LEAST}),
        (WAVES, {"wave_softness": MOST}),
    ),
    "gemm": (
        (FLOOR, {"launch_s": LEAST, "host_s": LEAST, "wave_s": LEAST, "split_s": LEAST}),
        (
            TRAFFIC,
            {"quantise_bytes": LEAST, "quantise_row_s": LEAST, "output_share": LEAST},
        ),
        (EFFICIENCY, {"tensor_share": MOST, "step_s": LEAST, "dram_share": MOST}),
        (CACHE, {"operand_share": MOST, "stream_share": MOST}),
        (WAVES, {"wave_softness": MOST}),
    ),
    "attention": (
        (
            FLOOR,
            {
                "launch_cycles": LEAST,
                "regroup_cycles": LEAST,
                "block_cycles": LEAST,
                "combine_cycles": LEAST,
            },
        ),
        (TRAFFIC, {"row_traffic": LEAST, "kv_traffic": LEAST}),
        (
            EFFICIENCY,
            {
                "tensor_share": MOST,
                "pair_cycles": LEAST,
                "unit_share": MOST,
                "dram_share": MOST,
                "overlap": MOST,
            },
        ),
        (CACHE, {"cache_share": MOST}),
        (WAVES, {"wave_softness": MOST}),
    ),
}
"""By kind of kernel: what to take away, and which constants go to an end of their range or to a
number."""


COLD: dict[str, dict[str, str | float]] = {
    "gemm": {"weight_copies": MOST},
    "attention": {"resident_share": LEAST},
}
"""Constants of a kernel whose weights and keys the cache cannot hold from the call before, since
other layers run in between."""


def at_ends(constants: AnyConstants, ends: Mapping[str, str | float]) -> AnyConstants:
    """The constants with some of them at one end of their range, LEAST or MOST, or at a number."""
    ranges = limits(type(constants))
    moved = {
        name: end if isinstance(end, float) else ranges[name][end == MOST]
        for name, end in ends.items()
    }
    return msgspec.structs.replace(constants, **moved)


def ladder(
    kernel: str, asked: Any, machine: Machine, constants: AnyConstants, roofline_s: Floats
) -> dict[str, Floats]:
    """Seconds beyond the roofline by reason: `[calls]`; with `roofline_s` they add up to the time.

    Each effect is what the time falls by when its constants become ideal, those before it being so
    already; what is then left above the roofline is padding to tiles. Where the cache saves bytes
    that the roofline counts, a reason is negative.
    """
    terms = KERNELS[kernel].terms
    before, *after = (
        np.asarray(sum(terms(asked, machine, these).values()))
        for these in _rungs(kernel, constants)
    )
    found: dict[str, Floats] = {}
    for (reason, _), seconds in zip(IDEALS[kernel], after, strict=True):
        found[reason] = before - seconds
        before = seconds
    return {**found, TILES: before - roofline_s}


@functools.lru_cache(256)
def _rungs(kernel: str, constants: AnyConstants) -> tuple[AnyConstants, ...]:
    """The constants as they are, then with one effect after another taken away."""
    rungs = [constants]
    for _, ideals in IDEALS[kernel]:
        rungs.append(at_ends(rungs[-1], ideals))
    return tuple(rungs)
