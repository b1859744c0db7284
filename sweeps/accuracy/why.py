"""Why a measured MoE layer is slower than a roofline of active parameters: all of it, named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...hardware import AnyDevice
from ...measured import Measurements
from ...simulator.gpu import shipped
from ...simulator.gpu.ladder import REASONS, ladder
from .cases import moe_cases
from .compare import Comparison
from .errors import TOKEN_BANDS
from .families import families
from .fit import prior
from .predict import roof_s

Floats = NDArray[np.float64]

ACTIVE, EXPERTS, IMBALANCE, UNEXPLAINED = (
    "active parameters at the roofline",
    "activated experts",
    "imbalance",
    "unexplained",
)
WHY = (ACTIVE, EXPERTS, IMBALANCE, *REASONS, UNEXPLAINED)
"""The parts of a measured time, from what a spreadsheet says to what nobody does."""


def reasons_of(table: Measurements, device: AnyDevice, seed: int = 0) -> dict[str, Floats]:
    """Seconds of each row by WHY: `[rows]` each; they add up to the measured time.

    active parameters: the even-load roofline that reads the experts of one token. activated
    experts: what reading all touched ones adds; imbalance: what the busiest rank's load adds to
    that; then the tile model's effects with the constants that ship; unexplained: measured minus
    predicted, which may be negative. Raises BadInput for tables of other kinds.
    """
    if table.kind != "moe":
        raise BadInput("is told of moe tables", key="--why", value=table.kind)
    active = roof_s(table, device, moe_cases(table, active=True))
    even = roof_s(table, device, moe_cases(table))
    busiest = roof_s(table, device, moe_cases(table, busiest=True, seed=seed))
    found = {ACTIVE: active, EXPERTS: even - active, IMBALANCE: busiest - even}
    found |= {reason: np.zeros(len(table)) for reason in REASONS}
    fitted = {one.name: one.constants for one in shipped(device.name, table.kind).family}
    for rows in families(table, device, seed):
        constants = fitted.get(rows.family, prior(rows))
        effects = ladder(rows.kernel, rows.asked, rows.machine, constants, busiest[rows.where])
        for reason, seconds in effects.items():
            found[reason][rows.where] = seconds
    found[UNEXPLAINED] = table["latency_s"] - np.asarray(sum(found.values()))
    return found


def shares(comparison: Comparison, reasons: dict[str, Floats]) -> dict[str, dict[str, float]]:
    """Each reason's mean share of the measured time, over all rows and by token band."""
    bands = {"all": np.ones(len(comparison.table), bool)}
    for name, low, high in TOKEN_BANDS:
        bands[name] = (comparison.tokens > low) & (comparison.tokens <= high)
    measured = comparison.measured_s
    return {
        reason: {
            band: float((seconds[mask] / measured[mask]).mean())
            for band, mask in bands.items()
            if mask.any()
        }
        for reason, seconds in reasons.items()
    }
