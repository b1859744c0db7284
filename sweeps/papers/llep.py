"""LLEP (arXiv 2601.17111): figure 4, one MoE layer on 8 H200 under published imbalance."""

from __future__ import annotations

from ...hardware.load import system
from ...placement.dispatch.figure4 import fitted_rows, machine_rows
from .claim import TOLERANCE, Claim, claims_section
from .question import Question, Reproduced

MACHINE = "dgx-h200"
BALANCED = "balanced"
ASSUMED = (
    "the hot experts are neighbours, so that they lie on one rank, the first, of contiguous expert "
    "parallelism",
    "alpha 1, at least 1024 tokens a chunk, trigger 1.3, as published",
    "products at the bf16 peak and links at their full bandwidth",
)


def llep(question: Question) -> Reproduced:
    """Both models of `placement.dispatch.figure4`, and what is not modelled."""
    question.say("figure 4 of LLEP ...")
    machine = tuple(
        Claim(
            paper="LLEP",
            metric=row.case,
            unit="x",
            published=row.paper,
            ours=row.ours,
            neutral=1.0,
            assumptions=ASSUMED,
            reason=_reason(row.case, row.error),
        )
        for row in machine_rows(system(MACHINE))
    )
    fitted = tuple(
        Claim(
            paper="LLEP",
            metric=f"{row.case}, fitted",
            unit="x",
            published=row.paper,
            ours=row.ours,
            neutral=1.0,
            fitted=True,
            reason="one fixed cost a model, fitted to this figure",
        )
        for row in fitted_rows()
    )
    whole = tuple(
        Claim(
            paper="LLEP",
            metric=f"whole model, {name}",
            unit="x",
            published=speedup,
            ours=None,
            neutral=1.0,
            reason="the loads of the whole runs are published as maxima only (figure 3)",
        )
        for name, speedup in (("gpt-oss-20b", 2.2), ("gpt-oss-120b", 1.88))
    )
    words = (
        "Speed-up of a layer over plain expert parallelism, spill plans made by "
        "placement.dispatch.spill. 'From the machine' prices two all-to-alls, the busiest rank's "
        f"products and the weights fetched on {MACHINE}, with nothing fitted; 'fitted' is "
        "(x + f) / (y + f) with one fixed cost f a model.",
    )
    sections = (
        claims_section("llep", "LLEP, figure 4, from the machine alone", (*machine, *whole), words),
        claims_section("llep-fitted", "LLEP, figure 4, by one fitted cost a model", fitted, words),
    )
    return Reproduced((*machine, *whole, *fitted), sections)


def _reason(case: str, error: float) -> str:
    """Why a prediction from peaks is off, as far as that is known."""
    if BALANCED in case:
        return "nothing is moved below the trigger: the measured difference is not in the model"
    if abs(error) <= TOLERANCE:
        return ""
    return "not known; planning and launches are not priced and weigh most where little is gained"
