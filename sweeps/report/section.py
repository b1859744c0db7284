"""Section: words, tables and a figure, with their evidence. Nothing else enters the page."""

from __future__ import annotations

from typing import Any

import msgspec

from ...base import Evidence


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Columns and rows of text, ready to print; `note` stands below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


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
