"""Chapters that hold predictions against measurements."""

from __future__ import annotations

import re

import numpy as np

from ...base import Evidence
from ..accuracy import Comparison, ErrorRow, compare
from ..report.section import Section, Table
from .question import Chapter

COLUMNS = ("band", "rows", "median signed error", "MAPE", "median APE", "Spearman", "in 80%")


class Held(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="compare"):
    """A model held against a measured table; `what`, `on` and `model` as in `moesaic compare`."""

    what: str
    on: str = ""
    model: str = "roofline"


def held(chapter: Held, seed: int) -> Section:
    """Scatter and signed errors by token band and number format."""
    return comparison_section(
        compare(chapter.what, chapter.on, chapter.model, seed=seed),
        name=chapter.name,
        title=chapter.title,
        words=chapter.words,
        seed=seed,
    )


def comparison_sections(comparison: Comparison) -> list[Section]:
    """A Comparison with its scatter, and the map of where it errs."""
    from ..plots.heat import signed_errors

    name = re.sub("[^a-z0-9]+", "-", f"{comparison.what}-{comparison.system}-{comparison.model}")
    title = f"{comparison.what} on {comparison.system}: {comparison.model} against measurements"
    sections = [comparison_section(comparison, name=name, title=title)]
    if comparison.what != "cpu":
        heat = Section(
            name=f"{name}-map",
            title=f"{comparison.what} on {comparison.system}: where {comparison.model} errs",
            words=("Median signed error of each kernel family, by tokens.",),
            evidence=(comparison.predicted_evidence, comparison.measured_evidence),
            figure=signed_errors(comparison, f"{comparison.system}: {comparison.model}"),
        )
        sections.append(heat)
    return sections


def overview(comparisons: list[Comparison]) -> Section:
    """All comparisons in one table, a line for each band."""
    rows = [
        (one.what, one.system, one.model, *error_cells(row))
        for one in comparisons
        for row in one.by_band()
    ]
    evidence: dict[Evidence, None] = {}
    for one in comparisons:
        evidence |= {one.predicted_evidence: None, one.measured_evidence: None}
    return Section(
        name="overview",
        title="All of them",
        words=("Negative: predicted faster than measured.",),
        evidence=tuple(evidence),
        tables=(Table(columns=("what", "on", "model", *COLUMNS), rows=tuple(rows)),),
        data=[list(row) for row in rows],
    )


def comparison_section(
    comparison: Comparison, *, name: str, title: str, words: str = "", seed: int = 0
) -> Section:
    """A Comparison as a section."""
    from ..plots.scatter import predicted_against_measured

    bands = comparison.by_band()
    facts = [words, f"Measured: {comparison.table.provenance.source}."]
    if comparison.predicted_evidence == "bound" and comparison.faster:
        facts.append(
            f"{comparison.faster} of {len(comparison.table)} rows beat the bound: it assumes an "
            "even load and weights from memory, while skewed loads touch fewer experts and small "
            "weights stay in the cache."
        )
    if "spread" in comparison.table.columns:
        spread = float(np.median(comparison.table["spread"]))
        facts.append(
            f"The repeats of a row spread by {spread:.0%} (interquartile range over median, median "
            "over the rows); other work on the machine makes times long and spreads wide."
        )
    return Section(
        name=name,
        title=title,
        words=tuple(filter(None, facts)),
        evidence=(comparison.predicted_evidence, comparison.measured_evidence),
        tables=(
            error_table(bands, "Negative: predicted faster than measured."),
            error_table(comparison.by("dtype")),
        ),
        figure=predicted_against_measured(
            comparison, f"{comparison.what} on {comparison.system}: {comparison.model}", seed
        ),
        data=bands,
    )


def error_table(rows: list[ErrorRow], note: str = "") -> Table:
    """Error rows as a printed table."""
    return Table(columns=COLUMNS, rows=tuple(map(error_cells, rows)), note=note)


def error_cells(row: ErrorRow) -> tuple[str, ...]:
    """The row as text; what it has no number for is a dash."""
    shown = (
        f"{row.signed:+.1%}",
        f"{row.mape:.1%}",
        f"{row.median_ape:.1%}",
        f"{row.spearman:.3f}",
        f"{row.coverage:.0%}",
    )
    return (row.band, str(row.rows), *("-" if "nan" in text else text for text in shown))
