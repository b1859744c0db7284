"""A measured table -> its kernel families, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def families(table: Measurements, device: AnyDevice, seed: int = 0) -> Iterator[Rows]:
    """The kernel families of a table in order of their names."""
    if table.kind not in FAMILIES:
        raise unknown("table that the tile model predicts", table.kind, FAMILIES, key="tile model")
    return FAMILIES[table.kind](table, device, seed)
