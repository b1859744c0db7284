"""bfloat16 in numpy: the upper half of a float32, rounded to nearest even."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_bits(values: NDArray[Any]) -> NDArray[np.uint16]:
    """The 16 bits of each number; nan stays nan."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16)


def from_bits(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The numbers that the 16 bits stand for, exactly."""
    return (np.asarray(bits, np.uint32) << 16).view(np.float32)
