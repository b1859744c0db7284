"""Measurements that look wrong, told to whoever hands them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import Rows

FAR = 4.0
"""A row that is so many times off is more than scatter: recorded glitches begin there."""
LOST = 0.4
"""Where even the best family is off by more, in the mean, the table is not what it is taken for:
families of the recorded tables are at 4% to 40%, and the best of each table below 15%."""


class Priced(NamedTuple):
    """Rows of a family and the seconds predicted for them."""

    rows: Rows
    seconds: NDArray[np.float64]


def remarks(priced: Sequence[Priced], system: str) -> Iterator[str]:
    """At most one line on rows that are far off, and one on a table that fits the GPU nowhere."""
    off = [np.log(one.rows.measured_s / one.seconds) for one in priced]
    far = [np.abs(one) > np.log(FAR) for one in off]
    count = sum(int(one.sum()) for one in far)
    if count:
        at = int(np.argmax([np.abs(one).max() for one in off]))
        worst = int(np.argmax(np.abs(off[at])))
        yield (
            f"look at {count} rows: more than {FAR:g} times off, row "
            f"{int(priced[at].rows.where[worst]) + 1} most ({priced[at].rows.family}: "
            f"{priced[at].rows.measured_s[worst]:.3g} s measured, "
            f"{priced[at].seconds[worst]:.3g} s predicted)"
        )
    errors = [float(np.abs(np.exp(-one) - 1).mean()) for one in off]
    if errors and min(errors) > LOST:
        best = priced[int(np.argmin(errors))].rows.family
        yield (
            f"the table does not look like {system}: even {best} is off by {min(errors):.0%} in "
            "the mean. Check the GPU, the unit of the times and the number formats"
        )
