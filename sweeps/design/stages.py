"""What a sweep asks, stage by stage: every point or a search's, few more closely, the front
served."""

from __future__ import annotations

from typing import Protocol

from ...base.parquet import Columns
from .ladder import Rounds, closer, floor, served
from .search import search
from .space import Space
from .standing import judged


class Asks(Rounds, Protocol):
    """Rounds that can also ask about a whole space."""

    def every(self) -> bool:
        """Evaluates all points at the bound, or what of them is to be done here; whether it was
        all of them."""
        ...

    def rows(self, names: list[str]) -> Columns:
        """Some columns of all points that meet the constraints, ascending."""
        ...


def stages(space: Space, asks: Asks) -> bool:
    """Every point at the bound, or those that a search asks about; then the best more closely; then
    the front of those by the serving simulation. Whether it came to its end: a part of the points
    is no ground to go on from."""
    if space.file.search is not None:
        rows = search(space, asks)
    elif not asks.every():
        return False
    elif space.file.finer is None and space.file.served is None:
        return True
    else:
        rows = asks.rows(list(space.needed))
    best = judged(space, rows)
    if space.file.finer is not None:
        best = closer(space, floor(space, rows), asks).standing
    if space.file.served is not None:
        served(space, best, asks)
    return True
