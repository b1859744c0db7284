"""The inverse question: which designs would take what a paper printed?"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...simulator.fpga.points import image_cycles
from .search import parameters
from .space import OBJECTIVES, Axes, Space

FINE = Axes(
    clock_hz=(300e6,), queries=tuple(range(1, 33)), units=tuple(range(1, 17))
)  # fmt: skip
"""Every Na up to 32 and NL up to 16, at the clock that UbiMoE prints."""


class Inverse(msgspec.Struct, frozen=True, kw_only=True):
    """Designs inside the budgets whose DSP lie within `near` of the printed ones.

    latency_s, low_s, high_s `[designs]`: as scheduled, with all overlap and with none; designs: all
    of them by name, the one nearest to the printed latency first; matches: how many of these are
    within `near` of it; bracketing: how many have it between their two ends.
    """

    tokens: int
    near: float
    latency_s: NDArray[np.float64]
    low_s: NDArray[np.float64]
    high_s: NDArray[np.float64]
    designs: tuple[dict[str, float], ...]
    matches: int
    bracketing: int


def inverse(space: Space, dsp: float, latency_s: float, near: float = 0.05) -> Inverse:
    """The designs of a grid that come within `near` of a printed number of DSP."""
    whole = space.grid()
    taken = whole.objectives[:, OBJECTIVES.index("dsp")]
    band = np.flatnonzero(whole.inside & (np.abs(taken / dsp - 1) <= near))
    places = np.unravel_index(band, space.axes.shape)
    points = space.points([np.asarray(at) for at in places])
    memory = space.board.memory.bandwidth_bytes_per_s
    cycles = image_cycles(points, space.model, space.tokens, space.queues, memory)
    low, high = (np.asarray(c / points.clock_hz) for c in (cycles.full_overlap, cycles.no_overlap))
    latency = whole.objectives[band, 0]
    error = np.abs(latency / latency_s - 1)
    return Inverse(
        tokens=space.tokens,
        near=near,
        latency_s=latency,
        low_s=low,
        high_s=high,
        designs=tuple(
            parameters(space, np.array([at[i] for at in places]))
            | {"latency_s": float(latency[i]), "dsp": float(taken[band[i]])}
            for i in np.argsort(error, kind="stable")
        ),
        matches=int((error <= near).sum()),
        bracketing=int(((low <= latency_s) & (latency_s <= high)).sum()),
    )
