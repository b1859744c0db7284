"""The softmax's power: 256 * 2^(-distance / 16), rounded down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRACTIONS = np.floor(256 * 2 ** (-np.arange(16) / 16)).astype(np.int64)


def power(distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sixteen fractions in a table, the rest is a shift; nothing is left 256 sixteenths away."""
    near = np.minimum(distance, 255)
    return np.where(distance < 256, FRACTIONS[near % 16] >> near // 16, 0)
