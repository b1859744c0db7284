"""Section: words, tables and a figure, with their evidence. Nothing else enters the page."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ...base import Evidence

NUMBER = re.compile(r"[-+]?(\d[\d.]*|\.\d+)(e[-+]?\d+)?(%|\s*[A-Za-z][\w/]*)?")
"""A number, with one unit at most: '12.6 ms', '-70.9%', but not '4 x H100'."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Columns and rows of text, ready to print; `note` stands below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold nothing but numbers: they stand to the right."""
        cells = zip(*self.rows, strict=True) if self.rows else ((),) * len(self.columns)
        return tuple(bool(column) and all(map(_is_number, column)) for column in cells)


def _is_number(cell: str) -> bool:
    return cell in ("-", "nan") or NUMBER.fullmatch(cell) is not None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a report.

    name: of its files, such as 'loads'; words: paragraphs; figure: a matplotlib Figure or None;
    evidence: what its numbers rest on; data: the same results for programs.
    """

    name: str
    title: str
    words: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    tables: tuple[Table, ...] = ()
    figure: Any = None
    data: Any = None
