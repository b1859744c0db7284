"""What a space may call its columns, and which texts it may hold: all of them come back in tables
of a database, on terminals and in pages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...base import BadInput
from .paths import is_path
from .results import RESULTS

RESERVED = ("point", "stage", "order of rows", *RESULTS)
"""Columns that every run has beside its words."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]{0,199}")
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What a terminal or a page does not show but obeys: controls, and turns of the writing."""


def check_line(text: str, key: str) -> str:
    """The text. Raises BadInput where it is not one line of characters that can be shown."""
    if found := _OBEYED.search(text):
        raise BadInput(f"holds the control character U+{ord(found[0]):04X}", key=key, value=text)
    return text


def check_lines(text: str, key: str) -> str:
    """As `check_line`, of several lines."""
    check_line(re.sub(r"[\t\n]", " ", text), key)
    return text


def check_name(name: str, table: str) -> None:
    """Raises BadInput for what no column of a run may be called. table: where it stands."""
    if name.lower() in RESERVED:
        raise BadInput(
            "is a column of every run already; choose another name", key=table, value=name
        )
    if is_path(name):
        check_line(name, table)
    elif not _NAME.fullmatch(name):
        raise BadInput(
            "must name what it holds: a letter or _, then letters, digits, _ . : or -",
            key=table,
            value=name,
        )


def check_apart(names: Iterable[str]) -> None:
    """Raises BadInput for names that differ by case alone, which a database takes for one."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise BadInput(f"differs from {other} by case alone; choose another name", key=name)
