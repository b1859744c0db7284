"""Program: the rows that PIM units read beside the host's requests."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...base import BadInput
from ...hardware.dram import DramConfig
from ...hardware.gang import Gang

MOST_ROWS = 1 << 24


class Program(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the unit of each pseudo channel reads from tick 0 on, as fast as it can; arrays `[n]`.

    channel, rank (the pseudo channel in it), index (of the gang in that), row: rows of one pseudo
    channel are read whole, in order. energy_j_per_byte: of what units read, from the cell to them.
    """

    gang: Gang
    channel: NDArray[np.int32]
    rank: NDArray[np.int32]
    index: NDArray[np.int32]
    row: NDArray[np.int32]
    energy_j_per_byte: float | None = None

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
        columns = np.broadcast_arrays(channel, rank, index, row)
        given = [np.ascontiguousarray(column, np.int32).ravel() for column in columns]
        return cls(
            gang=gang,
            channel=given[0],
            rank=given[1],
            index=given[2],
            row=given[3],
            energy_j_per_byte=energy_j_per_byte,
        )

    def table(self, config: DramConfig) -> NDArray[np.int32]:
        """Rows `[n, 4]` as the engine reads them; raises BadInput for one outside the memory."""
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
        if self.row.size > MOST_ROWS:
            raise BadInput(f"has more than {MOST_ROWS} rows", key="program", value=self.row.size)
        return np.stack([self.channel, self.rank, self.index, self.row], axis=1)
