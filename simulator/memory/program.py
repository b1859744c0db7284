"""Program: the rows that PIM units read beside the host's requests."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang

MOST_ROWS = 1 << 24
MOST_NUMBER = (1 << 31) - 1
"""As the engine holds one; negative ones are refused with the memory at hand."""
NAMES = ("channel", "rank", "index", "row")


class Program(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the unit of each pseudo channel reads from tick 0 on, as fast as it can; arrays `[n]`.

    channel, rank (the pseudo channel in it), index (of the gang in that), row: rows of one pseudo
    channel are read whole, in order. energy_j_per_byte: of what units read, from the cell to them.
    Raises BadInput for arrays that are no whole numbers or differ in length.
    """

    gang: Gang
    channel: NDArray[np.int64]
    rank: NDArray[np.int64]
    index: NDArray[np.int64]
    row: NDArray[np.int64]
    energy_j_per_byte: float | None = None

    def __post_init__(self) -> None:
        columns = [getattr(self, name) for name in NAMES]
        for name, column in zip(NAMES, columns, strict=True):
            if not isinstance(column, np.ndarray) or column.dtype != np.int64 or column.ndim != 1:
                raise BadInput("must be whole numbers (int64), one for each row", key=name)
        if len({column.size for column in columns}) > 1:
            sizes = ", ".join(f"{len(c)} of {n}" for n, c in zip(NAMES, columns, strict=True))
            raise BadInput(f"must hold as many of each, has {sizes}", key="program")
        energy = self.energy_j_per_byte
        if energy is not None and not 0 <= energy < math.inf:
            raise BadInput(
                "must be a finite number of at least 0", key="energy_j_per_byte", value=energy
            )

    @classmethod
    def of(
        cls,
        gang: Gang,
        channel: ArrayLike,
        rank: ArrayLike,
        index: ArrayLike,
        row: ArrayLike,
        energy_j_per_byte: float | None = None,
    ) -> Program:
        """The same of arrays, or of single numbers for every row."""
        given = zip(NAMES, (channel, rank, index, row), strict=True)
        columns = [_whole(name, values) for name, values in given]
        try:
            columns = [column.ravel() for column in np.broadcast_arrays(*columns)]
        except ValueError:
            shapes = ", ".join(f"{n} {c.shape}" for n, c in zip(NAMES, columns, strict=True))
            raise BadInput(f"the arrays differ in shape: {shapes}", key="program") from None
        return cls(
            gang=gang, energy_j_per_byte=energy_j_per_byte, **dict(zip(NAMES, columns, strict=True))
        )

    def table(self, config: DramConfig) -> NDArray[np.int32]:
        """Rows `[n, 4]` as the engine reads them; raises BadInput for one outside the memory."""
        if self.row.size > MOST_ROWS:
            raise BadInput(f"has more than {MOST_ROWS} rows", key="program", value=self.row.size)
        try:
            gangs = self.gang.count_in(config)
        except ValueError as fault:
            raise BadInput(str(fault), key="gang") from None
        most = {
            "channel": config.channels,
            "rank": config.rank_count,
            "index": gangs,
            "row": config.organisation.rows,
        }
        for name, size in most.items():
            column = getattr(self, name)
            if wrong := int(((column < 0) | (column >= size)).sum()):
                raise BadInput(f"must lie in 0..{size - 1}; {wrong} rows do not", key=name)
        columns = [self.channel, self.rank, self.index, self.row]
        return np.stack(columns, axis=1).astype(np.int32)


def _whole(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers as int64, none changed by that."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError):
        array = np.array(None)
    if array.size and array.dtype.kind not in "iu":
        raise BadInput("must be whole numbers, one for each row", key=name)
    if array.size and int(array.max()) > MOST_NUMBER:
        raise BadInput(f"must be at most {MOST_NUMBER}", key=name, value=int(array.max()))
    return array.astype(np.int64)
