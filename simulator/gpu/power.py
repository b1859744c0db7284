"""Board watts of a fused MoE layer: joules of what the tile model counts, over the layer's time.

A board draws its idle watts, those of the SMs that have a tile, and the energy of operations and of
bytes moved, spread over the layer; near its limit the clock falls instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import Spec, unknown
from .experts import ExpertCall
from .machine import Machine
from .tiles import TILE_ROWS

Floats = NDArray[np.float64]

TILE = (64, 64)
"""Rows and columns of the tiles whose padded operations are counted and which fill the SMs."""
STEP = 4.0
"""How sharply weights stop to fit the cache."""
ROW_BYTES = 2.0
"""Bytes of an activation between the products, which are written and read in 16 bits."""
JOULES_PER_CACHE_BYTE = 2.4e-12
"""0.3 pJ a bit (AttAcc's configuration, read in its source); the B200's watts do not show it."""


class PowerConstants(Spec, frozen=True, kw_only=True):
    """Five numbers of a GPU, and one for each number format.

    idle_w: the board with a context open, its clocks up, and nothing to do. active_w: all SMs at
    work, whatever they compute. joules_per_flop: of a product in a number format, its padding
    counted. joules_per_dram_byte: memory, its link and the way to the SMs. held_share: of the
    cache, that keeps weights from one repeat to the next. limit_sharpness: exponent that joins
    demand and limit; large ones cut off.
    """

    idle_w: Annotated[float, msgspec.Meta(ge=20, le=400)]
    active_w: Annotated[float, msgspec.Meta(ge=1, le=800)]
    joules_per_flop: dict[str, Annotated[float, msgspec.Meta(ge=2e-14, le=3e-12)]]
    joules_per_dram_byte: Annotated[float, msgspec.Meta(ge=2e-11, le=2e-10)]
    held_share: Annotated[float, msgspec.Meta(ge=0.05, le=2)]
    limit_sharpness: Annotated[float, msgspec.Meta(ge=2, le=30)]


POWER = {
    "b200-sxm": PowerConstants(
        idle_w=246.0,
        active_w=387.0,
        joules_per_flop={"bf16": 7.1e-13, "fp8": 4.3e-13, "fp8_block": 2.6e-13},
        joules_per_dram_byte=3.1e-11,
        held_share=0.88,
        limit_sharpness=23.0,
    )
}
"""GPU -> constants, fitted on 41,148 recorded layers of vLLM 0.22.0, whose weights were filled with
one value: real weights toggle more bits and draw more. On unseen shapes, times predicted too: mean
error 13.6%, median 6.9%, as `metered`. (In the literature HBM alone takes 3.5 to 3.9 pJ a bit, 28
to 31 pJ a byte.)"""
CARRY_S = 1.5e-4
"""`metered`'s carry of those recordings, fitted with the constants."""


def expert_watts(
    call: ExpertCall,
    machine: Machine,
    terms: Mapping[str, Floats],
    constants: PowerConstants,
    dtype: str,
    limit_w: float,
) -> Floats:
    """Mean board watts while such layers run one after another: `[calls]`.

    terms: the tile model's seconds of the same calls. After the launch SMs are active, as many as
    have a tile: of w waves, w / (1 + w). Raises BadInput for a dtype without an energy.
    """
    if dtype not in constants.joules_per_flop:
        raise unknown("number format with an energy", dtype, constants.joules_per_flop)
    seconds = np.asarray(sum(terms.values()))
    waves = _tiles(call, call.matrices_in * call.inter) / machine.units
    active = (1 - terms["launch"] / seconds) * waves / (1 + waves)
    joules = _joules(call, machine, constants, constants.joules_per_flop[dtype])
    demand = constants.idle_w + constants.active_w * active + joules / seconds
    q = constants.limit_sharpness
    return np.asarray((demand**-q + limit_w**-q) ** (-1 / q))


def _joules(
    call: ExpertCall, machine: Machine, constants: PowerConstants, joules_per_flop: float
) -> Floats:
    """Energy of one layer beside what time alone costs."""
    load, width = call.assigned, call.inter * (call.matrices_in + 1)
    padded_rows = load.tiles[:, TILE_ROWS.index(TILE[0])] * TILE[0]
    weights = load.touched * call.hidden * width * call.weight_size
    # Hidden rows are read, permuted, multiplied, written and summed; the widths within, twice.
    passed = 5 * call.hidden + 2 * call.matrices_in * call.inter
    rows = ROW_BYTES * load.rows * passed
    held = 1 / (1 + (weights / (constants.held_share * machine.cache_bytes)) ** STEP)
    depth = call.hidden * _tiles(call, call.matrices_in * call.inter)
    depth = depth + call.inter * _tiles(call, call.hidden)
    operands = depth * (TILE[0] * call.activation_size + TILE[1] * call.weight_size)
    return np.asarray(
        joules_per_flop * 2 * padded_rows * call.hidden * width
        + constants.joules_per_dram_byte * (weights * (1 - held) + rows)
        + JOULES_PER_CACHE_BYTE * (operands + weights + rows)
    )


def _tiles(call: ExpertCall, columns: Floats) -> Floats:
    return np.asarray(call.assigned.tiles[:, TILE_ROWS.index(TILE[0])] * np.ceil(columns / TILE[1]))


def metered(watts: Floats, seconds: Floats, carry_s: float) -> Floats:
    """What a meter shows that averages over the recent past, of tests run one after another.

    watts, seconds: of each test's layer, `[series, tests]`. A test of layers of t seconds keeps
    carry_s / (carry_s + t) of what the meter showed before (derived: every test repeats its layer
    about as often, so short layers are metered for less time). A series starts hot, from its last
    and largest test.
    """
    shown, state = np.empty_like(watts), watts[:, -1]
    for test in range(watts.shape[1]):
        kept = carry_s / (carry_s + seconds[:, test])
        state = kept * state + (1 - kept) * watts[:, test]
        shown[:, test] = state
    return shown
