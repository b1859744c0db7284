"""Columns from outside, checked and brought to the types of a RoutingTrace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..trace import NOTHING

MOST_EXPERTS = np.iinfo(np.int16).max


def expert_ids(values: NDArray[Any], experts: int, file: str | Path) -> NDArray[np.int16]:
    """Ids as int16; values that int16 cannot hold are refused, never wrapped."""
    if values.dtype.kind not in "iu":
        raise BadInput(
            f"must hold whole numbers, holds {values.dtype}", file=file, key="expert_ids"
        )
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < -1 or high >= experts:
        wrong = high if high >= experts else low
        raise BadInput(
            f"allowed are 0..{experts - 1}, and -1 for none",
            file=file,
            key="expert_ids",
            value=wrong,
        )
    if experts > 1 and not values.any():
        raise BadInput(NOTHING, file=file, key="expert_ids")
    return values.astype(np.int16)


def whole(values: NDArray[Any], key: str, file: str | Path) -> NDArray[np.int64]:
    """A column of whole numbers."""
    if values.ndim != 1 or values.dtype.kind not in "iub":
        raise BadInput(
            f"must be one row of whole numbers, is {values.dtype} {values.shape}",
            file=file,
            key=key,
        )
    if values.size and values.dtype.kind == "u" and int(values.max()) > np.iinfo(np.int64).max:
        raise BadInput("holds a number beyond 64 bits", file=file, key=key)
    return values.astype(np.int64)


def experts_of(value: object, file: str | Path) -> int:
    """The number of experts that a file states."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_EXPERTS:
        raise BadInput(
            f"must be a whole number from 1 to {MOST_EXPERTS}",
            file=file,
            key="experts",
            value=value,
        )
    return value
