"""What every column of a run's files is: its unit, its meaning, and what it rests on."""

from __future__ import annotations

from typing import NamedTuple

from ...base import BadInput
from ...base.units import unit_of
from .results import RESULTS, evidence
from .space import Space
from .words import word

GIVEN = "given"
"""The evidence of a word: it was asked, not answered."""


class About(NamedTuple):
    """unit: SI or ''; says: the meaning, '' where the name says it; evidence: of this detail."""

    unit: str
    says: str
    evidence: str


def about(space: Space, detail: str) -> dict[str, About]:
    """Every column of the rows of this detail, in their order: point, words, results, derived."""
    found = {"point": About("", "number of the point in its space", GIVEN)}
    for name in space.words:
        found[name] = _word(name)
    for name, result in RESULTS.items():
        # A price that the space itself sets is no published one.
        given = result.published and any(word.endswith(f".{name}") for word in space.words)
        found[name] = About(result.unit, result.says, GIVEN if given else _basis(name, detail))
    for name, one in space.after.items():
        basis = _basis("tpot_s", detail)
        found[name] = About(unit(name), f"= {one.text}", basis)
    return found


def _basis(name: str, detail: str) -> str:
    """The evidence of a column. Rows of a mixed detail tell by themselves how close they were."""
    if detail in ("finer", "cycle") and not RESULTS[name].published:
        return "bound or simulated"
    return evidence(name, detail)


def unit(name: str) -> str:
    """The SI unit of a word, a result, or a name that says its own; '' for a plain number."""
    if name in RESULTS:
        return RESULTS[name].unit
    try:
        return word(name).unit
    except BadInput:  # a name of the space's own
        return unit_of(f"_{name}") or ""


def _word(name: str) -> About:
    try:
        return About(unit(name), word(name).says, GIVEN)
    except BadInput:
        return About(unit(name), "", GIVEN)
