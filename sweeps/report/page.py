"""Sections -> one HTML file that needs nothing else, PNG files, and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...base import MARKS, MEANING
from ...base.files import write_text
from ..plots.style import save, svg
from .section import Section, Table

TEMPLATE = Path(__file__).with_name("page.html.j2")


def html(title: str, sections: Sequence[Section]) -> str:
    """The page. Every value is escaped by the template; figures are this program's own SVG."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    figures = {
        section.name: Markup(svg(section.figure))
        for section in sections
        if section.figure is not None
    }
    return page.render(
        title=title, sections=sections, figures=figures, marks=MARKS, meaning=MEANING
    )


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The same words and tables as Markdown, with the PNG files as pictures."""
    lines = [f"# {title}"]
    for section in sections:
        marks = ", ".join(f"{MARKS[kind]} {kind}" for kind in section.evidence)
        lines += ["", f"## {section.title}", "", f"*Evidence: {marks}*"]
        for paragraph in section.words:
            lines += ["", paragraph]
        if section.figure is not None:
            lines += ["", f"![{section.title}]({section.name}.png)"]
        for table in section.tables:
            lines += ["", *_markdown_table(table)]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = [row(table.columns), row(["---"] * len(table.columns)), *map(row, table.rows)]
    return [*lines, "", table.note] if table.note else lines


def write(folder: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Writes index.html, report.md, results.json and a PNG for each figure; returns the page."""
    folder = Path(folder)
    for section in sections:
        if section.figure is not None:
            save(section.figure, folder / f"{section.name}.png")
    write_text(folder / "report.md", markdown(title, sections))
    results = {section.name: section.data for section in sections if section.data is not None}
    write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    write_text(folder / "index.html", html(title, sections))
    return folder / "index.html"
