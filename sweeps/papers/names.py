"""Every paper by its name."""

from __future__ import annotations

from collections.abc import Callable

from ...base import unknown
from .claim import claims_section
from .duplex import duplex
from .exflow import exflow
from .llep import llep
from .moetuner import moetuner
from .question import Question, Reproduced
from .ubimoe import ubimoe

PAPERS: dict[str, Callable[[Question], Reproduced]] = {
    "moetuner": moetuner,
    "exflow": exflow,
    "llep": llep,
    "duplex": duplex,
    "ubimoe": ubimoe,
}
"""A further paper is a file of this folder with such a callable, and its line here."""


def reproduce(name: str, question: Question) -> Reproduced:
    """One paper, or 'all': then the first section holds every claim."""
    if name != "all":
        if name not in PAPERS:
            raise unknown("paper", name, [*PAPERS, "all"])
        return PAPERS[name](question)
    found = [paper(question) for paper in PAPERS.values()]
    claims = tuple(claim for one in found for claim in one.claims)
    whole = claims_section("claims", "Every claim, the papers' numbers beside ours", claims)
    return Reproduced(claims, (whole, *(section for one in found for section in one.sections)))
