"""Claim: a published number beside ours, how far apart they are, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ...base import MARKS, Evidence
from ..report.section import Section, Table

Status = Literal["reproduced", "shape only", "not reproduced"]

TOLERANCE = 0.15
"""Relative error up to which a number counts as reproduced: chosen before any was computed."""
SHAPE = 3.0
"""An effect on the right side whose size is off by this factor at most has the published shape."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One number of a paper.

    unit: '%' (a share), 'x' (times), or a word. neutral: the value that means no effect. ours: None
    where the program does not model it; reason says why. fitted: ours has a parameter that was
    fitted to this very number, so that it describes and does not predict. assumptions: what the
    paper leaves open and we chose; span: the least and the most that other choices give. roofline:
    what peak bandwidths and peak arithmetic alone would give.
    """

    paper: str
    metric: str
    unit: str
    published: float
    ours: float | None
    neutral: float = 0.0
    fitted: bool = False
    span: tuple[float, float] | None = None
    roofline: float | None = None
    assumptions: tuple[str, ...] = ()
    reason: str = ""
    published_evidence: Evidence = "measured-published"
    ours_evidence: Evidence = "simulated"

    @property
    def error(self) -> float | None:
        """Ours over the paper's, minus one."""
        return None if self.ours is None else self.ours / self.published - 1

    @property
    def status(self) -> Status:
        if self.ours is None or self.error is None:
            return "not reproduced"
        effect, wanted = self.ours - self.neutral, self.published - self.neutral
        if wanted == 0 or not 1 / SHAPE <= effect / wanted <= SHAPE:
            return "not reproduced"
        return "reproduced" if abs(self.error) <= TOLERANCE else "shape only"

    def summary(self) -> dict[str, Any]:
        """Plain numbers and words for JSON."""
        return {**msgspec.structs.asdict(self), "error": self.error, "status": self.status}


def shown(value: float | None, unit: str) -> str:
    """A value with its unit, as a table shows it."""
    if value is None:
        return "-"
    if unit == "%":
        return f"{value:.1%}"
    return f"{value:.2f}x" if unit == "x" else f"{value:.2f} {unit}"


def table(claims: Sequence[Claim]) -> Table:
    """A row a claim; with columns for spans and rooflines where a claim has some."""
    more = {
        "under other readings": [_span(claim) for claim in claims],
        "plain roofline": [shown(claim.roofline, claim.unit) for claim in claims],
    }
    more = {name: cells for name, cells in more.items() if any(cell != "-" for cell in cells)}
    rows = [_row(claim) for claim in claims]
    return Table(
        columns=("paper", "metric", "published", "ours", *more, *LAST),
        rows=tuple(
            (*row[:4], *(cells[i] for cells in more.values()), *row[4:])
            for i, row in enumerate(rows)
        ),
        note=NOTE,
    )


LAST = ("error", "status", "why it differs")


def _span(claim: Claim) -> str:
    return "-" if claim.span is None else " to ".join(shown(end, claim.unit) for end in claim.span)


def _row(claim: Claim) -> tuple[str, ...]:
    error = "-" if claim.error is None else f"{claim.error:+.1%}"
    ours = shown(claim.ours, claim.unit)
    return (
        claim.paper,
        claim.metric,
        f"{shown(claim.published, claim.unit)} {MARKS[claim.published_evidence]}",
        ours if claim.ours is None else f"{ours} {MARKS[claim.ours_evidence]}",
        error,
        claim.status + (" (fitted)" if claim.fitted else ""),
        claim.reason or "-",
    )


def claims_section(
    name: str, title: str, claims: Sequence[Claim], words: Sequence[str] = ()
) -> Section:
    """The claims as a section: table, plot, and what was assumed."""
    from ..plots.claims import beside

    assumed = list(dict.fromkeys(line for claim in claims for line in claim.assumptions))
    marks: dict[Evidence, None] = {}
    for claim in claims:
        marks |= {claim.published_evidence: None, claim.ours_evidence: None}
    return Section(
        name=name,
        title=title,
        words=(*words, *([f"Assumed: {'; '.join(assumed)}."] if assumed else [])),
        evidence=tuple(marks),
        tables=(table(claims),),
        figure=beside(
            [
                (claim.metric, claim.unit, claim.published, claim.ours, claim.neutral)
                for claim in claims
            ],
            title,
        ),
        data=[claim.summary() for claim in claims],
    )


NOTE = (
    "error: ours / published - 1. shape only: the effect (beyond 1x, for ratios) is on the right "
    f"side and within a factor of {SHAPE:g}; reproduced: the number is within {TOLERANCE:.0%} too; "
    "fitted: a parameter was fitted to this very number, which is then described and not predicted."
)
