"""Chapters on tuning: searches replayed on recorded spaces, and our kernels' times foretold."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from ...base import Evidence
from ...hardware.load import device
from ...kernels.prediction import fit, surveys
from ...kernels.search import recorded_space, replay, teachers_of
from ...simulator.gpu import Machine
from ..report.section import Section, Table
from .question import Chapter, Some

Few = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Replayed(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="replay"):
    """Searches on recorded spaces that ship, taught by the same kernel on other devices."""

    spaces: Some[str]
    strategies: Some[str]
    seeds: Few = 20
    budget: Few = 50


class Surveyed(Chapter, frozen=True, kw_only=True, tag_field="kind", tag="survey"):
    """Our grouped GEMM as surveyed on one GPU, predicted by the constants fitted on another."""

    on: str
    constants: str = "h100-sxm"


MARKS = (10, 25, 50, 100)
SEARCHED = (
    "The fastest time of the space over the fastest found, after so many different evaluations; "
    "the band holds the middle half of the searches. No search sees a time of this GPU but those "
    "that it asked for. transfer: the order in which another GPU would have them."
)
FORETOLD = (
    "Left: each dot is a configuration on a part of a model's layer, predicted from what the "
    "executor counted in its PTX and what the assembler reported. Right: the share of the fastest "
    "configuration's speed that one kernel for all batches reaches, that the first choice by "
    "prediction reaches, and the best of the first five."
)


def replayed(chapter: Replayed, seed: int) -> Section:
    """The fraction of the optimum that each strategy reaches; seeds are 0, 1, ... always."""
    from ..plots.tuning import fraction_of_optimum

    spaces = [recorded_space(name) for name in chapter.spaces]
    done = [
        one
        for space in spaces
        for one in replay(
            space,
            chapter.strategies,
            chapter.seeds,
            chapter.budget,
            [other.teacher for other in teachers_of(space)],
        )
    ]
    marks = [mark for mark in MARKS if all(mark <= one.fractions.shape[1] for one in done)]
    rows = tuple(
        (one.space, one.strategy, *(f"{one.mean_at(mark):.3f}" for mark in marks)) for one in done
    )
    shares = "; ".join(f"{s.name} {s.near_words}" for s in spaces)
    columns = ("space", "strategy", *(f"after {mark}" for mark in marks))
    note = f"Mean of {chapter.seeds} searches. Within 5% of the optimum: {shares}."
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, SEARCHED))),
        evidence=tuple(dict.fromkeys(one.evidence for one in done)),
        tables=(Table(columns=columns, rows=rows, note=note),),
        figure=fraction_of_optimum(done, {}),
        data=[{"space": one.space, "strategy": one.strategy,
               "mean": one.fractions.mean(axis=0).tolist()} for one in done],
    )  # fmt: skip


def surveyed(chapter: Surveyed, seed: int) -> Section:
    """Errors by part, and what the first choices by prediction are worth."""
    from ..plots.tuned_gpu import survey_figure

    survey, known = surveys.shipped(chapter.on), fit.shipped(chapter.constants)
    machine = Machine.of(device(chapter.on), "bf16")
    rows = np.arange(len(survey.part))
    predicted = fit.seconds_of(survey, machine, known.constants, rows)
    unseen = known.gpu != survey.gpu
    scores = [
        fit.score(part.name, predicted[mine], survey.seconds[mine])
        for at, part in enumerate(survey.parts)
        for mine in [survey.rows_of(at)]
    ]
    evidence: tuple[Evidence, ...] = ("simulated", "measured-published")
    return Section(
        name=chapter.name,
        title=chapter.title,
        words=tuple(filter(None, (chapter.words, FORETOLD))),
        evidence=evidence,
        tables=(
            Table(
                columns=(
                    "part", "rows", "mean error", "median", "rank correlation", "first", "of 5",
                    "of 20",
                ),
                rows=tuple(_cells(one) for one in scores),
                note=f"Constants of {known.gpu}, "
                f"{'a GPU that is not this one' if unseen else 'fitted on these very rows'}. "
                f"Measured on {survey.about['device']}, {survey.about['date']}.",
            ),
        ),
        figure=survey_figure(
            survey, predicted, f"constants of {known.gpu}" if unseen else "seen in the fit"
        ),
        data=scores,
    )  # fmt: skip


def _cells(one: fit.PartScore) -> tuple[str, ...]:
    shares = (f"{share:.3f}" for share in (one.first, one.first_5, one.first_20))
    errors = f"{one.mape:.1%}", f"{one.median_ape:.1%}", f"{one.spearman:.2f}"
    return (one.part, str(one.rows), *errors, *shares)
