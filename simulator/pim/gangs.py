"""What PIM units read in the memory core, and host requests that meet them or keep clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...hardware.dram import DramConfig
from ...hardware.gang import Gang
from ..memory.address_map import AddressMap, Coordinates
from ..memory.program import Program
from ..memory.requests import Requests


def rows_in_turn(
    config: DramConfig,
    gang: Gang,
    rows: int,
    spaces: int = 1,
    *,
    ranks: int | None = None,
    energy_j_per_byte: float | None = None,
) -> Program:
    """Every pseudo channel reads `rows` rows, of its first `spaces` gangs in turn.

    ranks: of each channel that read at all; None: all.
    """
    ranks = config.rank_count if ranks is None else ranks
    channel, rank, step = np.indices((config.channels, ranks, rows))
    row = step // spaces % config.organisation.rows
    return Program.of(gang, channel, rank, step % spaces, row, energy_j_per_byte)


def banks_of(config: DramConfig, gang: Gang, index: int, rank: int = 0) -> NDArray[np.int64]:
    """The banks of a gang, flat in their channel."""
    sizes = config.sizes[1:]
    count = [whole // own for whole, own in zip(sizes, gang.sizes, strict=True)]
    place = np.unravel_index(index, count)
    inside = np.indices(gang.sizes).reshape(3, -1)
    parts = [p * own + i for p, own, i in zip(place, gang.sizes, inside, strict=True)]
    banks = config.banks // config.rank_count
    return np.asarray(rank * banks + np.ravel_multi_index(parts, sizes))


def host_stream(
    config: DramConfig, gang: Gang, index: int, passes: int, *, ranks: int | None = None
) -> Requests:
    """Reads of whole rows over all banks of one gang, group after group, as a stream would: from
    every pseudo channel (or the first `ranks`), `passes` rows of each bank, the last rows of the
    memory down. All stand ready at cycle 0.
    """
    ranks = config.rank_count if ranks is None else ranks
    part, one = config.organisation, banks_of(config, gang, index)
    groups = gang.stack_ids * gang.bank_groups
    turn = one.reshape(groups, gang.banks).T.ravel()  # another group each time
    shape = (passes, gang.banks, part.columns, groups, config.channels, ranks)
    number, bank, column, group, channel, rank = (
        axis.ravel().astype(np.int32) for axis in np.indices(shape)
    )
    first = rank * (config.banks // config.rank_count)
    flat = (turn[bank * groups + group] + first).astype(np.int32)
    row = (part.rows - 1 - number % part.rows).astype(np.int32)
    address_map = AddressMap.parse(config.address_map, config)
    return Requests.of(address_map.encode(Coordinates(channel, flat, row, column)))
