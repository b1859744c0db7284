"""Area of PIM units, and the product of energy, delay and area (EDAP) of a matrix product on them.

All of it is closed form. Energies are joules per byte of weights, at `ops` operations on each: with
weights of two bytes that is the number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Spec
from ...hardware import Pim
from ...hardware.dram import DramConfig
from ...hardware.load import dram_config

Floats = NDArray[np.float64]

LOGIC_PIM_AREA_M2 = {
    "TSV": 10.89e-6,
    "GEMM modules": 3.02e-6,
    "buffers": 2.26e-6,
    "softmax": 1.64e-6,
}
"""What Logic-PIM adds to the logic die of one stack (Duplex, arXiv 2409.01141, section VII.E)."""

LOGIC_PIM_PRINTED_M2 = 17.80e-6
"""The same as one figure; its parts sum to 17.81 mm2 (same section)."""

LOGIC_DIE_M2 = 121e-6
"""The logic die that the parts stand on (same section)."""

WEIGHTS = (16384, 4096)
"""The shape of the weights, in FP16 (Duplex, figure 8)."""

PATH_J_PER_BYTE = {
    "bank": 8 * (0.5 + 1.23 + 1.01) * 1e-12,
    "bank-group": 8 * (0.5 + 1.23) * 1e-12,
    "logic-die": 0.0,
    "buffer-die": 0.0,
}
"""From the logic die to a unit, by its level: TSV, to the bank group, to the bank's columns
(FGDRAM, O'Connor MICRO'17, as in AttAcc's configuration, scale-snu/attacc_simulator)."""


class Counted(Spec, frozen=True, kw_only=True):
    """What is counted beside reading, arithmetic and peak rates. activation: of rows. delivery: of
    inputs to the units, and of results from them. refresh: the time it takes of the bandwidth."""

    activation: bool = True
    delivery: bool = True
    refresh: bool = True


def area_share(parts: Mapping[str, float], die_m2: float) -> float:
    """Area of all parts together over that of the die."""
    return sum(parts.values()) / die_m2


def energy_j_per_byte(
    device: Pim, ops: Floats, counted: Counted | None = None, read_j_per_byte: float | None = None
) -> Floats:
    """Reading, arithmetic and what `counted` names, `[ops]`. read_j_per_byte: instead of the
    device's own."""
    counted = counted or Counted()
    read = device.internal_energy_j_per_byte if read_j_per_byte is None else read_j_per_byte
    if read is None or device.energy_j_per_flop is None:
        raise BadInput("needs energies of reading and arithmetic", key=device.name)
    memory = _memory(device)
    per_op = device.energy_j_per_flop
    if counted.delivery:
        per_op += PATH_J_PER_BYTE[device.level] * moved_per_byte(device)
    if counted.activation:
        read += (memory.timing.energy.activate_j or 0.0) / memory.row_bytes
    return read + per_op * ops


def moved_per_byte(device: Pim) -> float:
    """Bytes that come to the units or leave them for one token, per byte of weights, at least.

    derived: a unit that holds r x c weights takes c inputs and gives r sums; for r c given, r + c
    is least where both are equal.
    """
    share = WEIGHTS[0] * WEIGHTS[1] / _units(device)
    return float(2 * np.sqrt(share) / share)


def seconds_per_byte(device: Pim, ops: Floats, counted: Counted | None = None) -> Floats:
    """The larger of bytes / bandwidth and operations / peak, `[ops]`."""
    timing = _memory(device).timing
    lost = timing["tRFC"] / timing["tREFI"] if (counted or Counted()).refresh else 0.0
    reading = 1.0 / (device.internal_bandwidth_bytes_per_s * (1 - lost))
    return np.asarray(np.maximum(reading, ops / device.peak("bf16")), np.float64)


def normalised(edap: Floats) -> Floats:
    """`[devices, ops]` over the largest at each number of operations."""
    return np.asarray(edap / edap.max(axis=0))


def fitted_areas(products: Floats, published: Floats, printed: float, known: int) -> Floats:
    """The areas `[devices]`, that of `known` being 1, for which `products x areas`, normalised,
    come nearest to `published`; both `[devices, points]`.

    Least squares of log ratios to the device that is printed as 1, each weighed by its printed
    digits: a value v printed to within +-`printed` is known to printed / v.
    """
    devices = len(products)
    rows, wanted = [], []
    for point in range(products.shape[1]):
        top = int(published[:, point].argmax())
        for device in set(range(devices)) - {top}:
            weight = published[device, point] / printed
            row = np.zeros(devices)
            row[device], row[top] = weight, -weight
            ratio = products[device, point] / products[top, point]
            rows.append(row)
            wanted.append(weight * np.log(published[device, point] / ratio))
    free = np.arange(devices) != known
    solved = np.linalg.lstsq(np.array(rows)[:, free], np.array(wanted), rcond=None)[0]
    areas = np.ones(devices)
    areas[free] = np.exp(solved)
    return areas


def products(
    devices: Sequence[Pim],
    ops: Floats,
    counted: Counted | None = None,
    read_j_per_byte: Sequence[float | None] | None = None,
) -> Floats:
    """Energy x delay of each device, `[devices, ops]`, for a byte of weights."""
    reads = read_j_per_byte or [None] * len(devices)
    return np.array([
        energy_j_per_byte(device, ops, counted, read) * seconds_per_byte(device, ops, counted)
        for device, read in zip(devices, reads, strict=True)
    ])  # fmt: skip


def _memory(device: Pim) -> DramConfig:
    if device.memory.timing is None:
        raise BadInput("names no `timing` of its memory", key=device.name)
    return dram_config(device.memory.timing)


def _units(device: Pim) -> int:
    """Of all stacks: one at each bank, one at each bank group, or one for each pseudo channel."""
    memory = _memory(device)
    part = memory.organisation
    each = {"bank": part.stack_ids * part.bank_groups * part.banks}
    each["bank-group"] = part.stack_ids * part.bank_groups
    return device.stacks * memory.channels * memory.rank_count * each.get(device.level, 1)
