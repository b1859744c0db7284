"""Sections -> one HTML file that needs nothing else, PNG files, and Markdown."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...base import MARKS, MEANING, BadInput
from ...base.files import write_text
from ..plots.style import save, svg
from .section import Section, Table

TEMPLATE = Path(__file__).with_name("page.html.j2")
PAGE = "index.html"
RESERVED = ("index", "report", "results")
"""Names of files that every report has: no section may bear one."""


def html(title: str, sections: Sequence[Section]) -> str:
    """The page. Every value is escaped by the template; figures are this program's own SVG."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters |= {"coded": _coded, "breakable": _breakable}
    page = made.from_string(TEMPLATE.read_text(encoding="utf-8"))
    figures = {
        section.name: Markup(svg(section.figure))
        for section in sections
        if section.figure is not None
    }
    return page.render(
        title=title, sections=sections, figures=figures, marks=MARKS, meaning=MEANING
    )


def _coded(words: str) -> Any:
    """Escaped words in which `names` between backticks are set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def _breakable(name: str) -> Any:
    """An escaped name that may be broken after its dots and low lines, not before a unit."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([_.])(?=[A-Za-z0-9]{3})", r"\1<wbr>", str(escape(name))))


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The same words and tables as Markdown, with the PNG files as pictures."""
    lines = [f"# {_text(title)}"]
    for section in sections:
        lines += ["", f"## {_text(section.title)}"]
        if section.evidence:
            marks = ", ".join(f"{MARKS[kind]} {kind}" for kind in section.evidence)
            lines += ["", f"*Evidence: {marks}*"]
        for paragraph in section.words:
            lines += ["", _text(paragraph)]
        if section.figure is not None:
            lines += ["", f"![{_text(section.title)}]({section.name}.png)"]
        for table in section.tables:
            lines += ["", *_table(table)]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_text, cells)) + " |"

    rules = ["---:" if number else "---" for number in table.numeric]
    lines = [row(table.columns), row(rules), *map(row, table.rows)]
    return [*lines, "", _text(table.note)] if table.note else lines


def _text(words: str) -> str:
    """Words on one line in which Markdown and HTML find no marks of their own."""
    line = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\|\[\]`])", r"\\\1", line)


def results(sections: Sequence[Section]) -> str:
    """The data of the sections as JSON; a number that is none becomes null."""
    data = {section.name: section.data for section in sections if section.data is not None}
    return (
        msgspec.json.format(msgspec.json.encode(data, enc_hook=_builtin), indent=2).decode() + "\n"
    )


def _builtin(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no data of a report")


def write(folder: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes index.html, report.md, results.json and a PNG for each figure; returns the page.

    All of them or none: see `filling`.
    """
    with filling(folder) as beside:
        fill(beside, title, sections)
    return Path(folder) / PAGE


def fill(folder: Path, title: str, sections: Sequence[Section]) -> None:
    """The files of a report in a folder that is there."""
    for section in sections:
        if section.figure is not None:
            save(section.figure, folder / f"{section.name}.png")
    write_text(folder / "report.md", markdown(title, sections))
    write_text(folder / "results.json", results(sections))
    write_text(folder / PAGE, html(title, sections))


@contextlib.contextmanager
def filling(folder: str | Path) -> Iterator[Path]:
    """A temporary folder beside `folder`; when the block ends without a fault its files move there,
    the page last, and take the place of those of the same name."""
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists() and not folder.is_dir():
            raise BadInput("is a file; name a folder for the report", file=folder)
        beside = tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent)
    except OSError as fault:
        raise BadInput(f"cannot be made: {fault.strerror}", file=folder) from None
    with beside as name:
        yield Path(name)
        try:
            folder.mkdir(exist_ok=True)
            for path in sorted(
                Path(name).iterdir(), key=lambda path: (path.name == PAGE, path.name)
            ):
                path.replace(folder / path.name)
        except OSError as fault:
            raise BadInput(f"cannot be written: {fault.strerror}", file=folder) from None
