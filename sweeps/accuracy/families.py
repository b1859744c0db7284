"""A measured table -> its kernel families, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from ...base import unknown
from ...hardware import AnyDevice
from ...measured import Measurements
from .rows import Rows
from .rows_attention import attention_families
from .rows_gemm import gemm_families
from .rows_moe import moe_families

FAMILIES: dict[str, Callable[[Measurements, AnyDevice, int], Iterator[Rows]]] = {
    "attention": attention_families,
    "gemm": gemm_families,
    "moe": moe_families,
}
"""Kind of table -> (table, device, seed) -> the families in it. Another kind joins here."""


FOLDS = 5


def families(table: Measurements, device: AnyDevice, seed: int = 0) -> list[Rows]:
    """The kernel families of a table in order of their names, their shapes dealt to folds."""
    if table.kind not in FAMILIES:
        raise unknown("table that the tile model predicts", table.kind, FAMILIES, key="tile model")
    found = list(FAMILIES[table.kind](table, device, seed))
    fold_of = dealt([np.unique(rows.shape).tolist() for rows in found])
    numbers = np.array([fold_of.get(shape, 0) for shape in range(max(fold_of) + 1)])
    return [msgspec.structs.replace(rows, fold=numbers[rows.shape]) for rows in found]


def dealt(shapes: Sequence[Sequence[int]], count: int = FOLDS) -> dict[int, int]:
    """A fold for each shape, whatever its splits and loads, the same for all families.

    shapes: those of each family. A family with few of them would learn nothing if all lay in one
    fold, so theirs are dealt first, each to the fold where its families have least; where that
    leaves several, to the one with fewest shapes.
    """
    held: list[set[int]] = [set() for _ in range(count)]
    fold: dict[int, int] = {}
    sets = [set(family) for family in shapes]
    for family in sorted(shapes, key=len):
        for shape in family:
            if shape in fold:
                continue
            others = [one for one in sets if shape in one and len(one) > 1]
            crowding = [
                (sum(len(one & mine) / (len(one) - 1) for one in others), len(mine), at)
                for at, mine in enumerate(held)
            ]
            fold[shape] = min(crowding)[2]
            held[fold[shape]].add(shape)
    return fold
