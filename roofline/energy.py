"""Joules from published constants; NaN where a constant lacks."""

from __future__ import annotations

import numpy as np

from ..hardware import System
from .prices import Unit
from .table import Floats


def joules(unit: Unit, work: Floats) -> Floats:
    """Of flops and bytes, `[2, ...]`, on a unit; none for no work."""
    per_flop, per_byte = unit.device.energy_j_per_flop, unit.energy_j_per_byte
    if per_flop is None or per_byte is None:
        return np.where((work != 0).any(axis=0), np.nan, 0.0)
    return np.asarray(work[0] * per_flop + work[1] * per_byte)


def links_j(sent: Floats, system: System) -> float:
    """Of bytes sent over each tier, `[tiers]`."""
    total = 0.0
    for tier, moved in zip(system.tiers, sent.tolist(), strict=True):
        if moved:
            per_byte = tier.link.energy_j_per_byte
            total += np.nan if per_byte is None else moved * per_byte
    return total
