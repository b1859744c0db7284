"""Joules of an image: what works, what moves, what leaks. Every constant is assumed.

No coefficient was fitted to a board's power; read differences between designs, not watts.
"""

from __future__ import annotations

from ...hardware import Fpga
from .closed_forms import Number
from .coefficients import value
from .points import Cycles, Points
from .resources import Part, Usage


def static_w(board: Fpga) -> float:
    """Watts of a board whose design stands idle."""
    return value("static_w") + value("static_lut_w") * board.lut


def image_j(points: Points, cycles: Cycles, taken: Usage, board: Fpga, latency_s: Number) -> Number:
    """derived: each kernel's parts spend in every cycle that it works and nothing otherwise, each
    byte over a memory port costs the memory's energy, and the board leaks for the whole time."""
    work = points.copies * cycles.stream * _per_cycle(taken.attention)
    work = work + cycles.busy * _per_cycle(taken.linear)
    per_byte = board.memory.energy_j_per_byte
    if per_byte is None:
        per_byte = value("hbm_j" if board.memory.technology.startswith("HBM") else "ddr_j")
    moved = cycles.beats * (points.port_bits / 8) * per_byte
    return work + moved + static_w(board) * latency_s


def _per_cycle(part: Part) -> Number:
    names = {"dsp": "dsp_j", "bram36": "bram_j", "uram": "uram_j", "lut": "lut_j", "ff": "ff_j"}
    return sum(getattr(part, field) * value(name) for field, name in names.items())
