"""How plans of sweeps and answers of their rows are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.evidence import MARKS
from ..base.units import show as human
from . import show
from .sweep_progress import WORDS, lasting

if TYPE_CHECKING:
    from ..sweeps.design.forecast import Forecast
    from ..sweeps.design.locks import Shard
    from ..sweeps.design.query import Answer
    from ..sweeps.design.space import Space

MOST_SHOWN = 100
"""Rows of an answer on a terminal."""


def plan_facts(space: Space, found: Forecast, jobs: int) -> dict[str, Any]:
    """What a run would take, for programs. Times are measured here, on a sample."""
    return {
        "title": space.title,
        "points": space.size,
        "share_meeting_constraints": found.kept,
        "stages": [one._asdict() for one in found.stages],
        "seconds": found.seconds,
        "bytes": found.bytes,
        "jobs": jobs,
        "sampled_points": found.sampled,
        "evidence": "measured-here",
        "axes": {axis.name: axis.size or "drawn" for axis in space.axes},
        "words": list(space.words),
        "objectives": {name: _sense(sense) for name, sense in space.objectives},
        "goals": [goal.text for goal in space.goals],
        "by": list(space.by),
        "seed": space.seed,
    }


def show_plan(space: Space, found: Forecast, jobs: int) -> None:
    mark = MARKS["measured-here"]
    show.table(
        f"{space.title}: {space.size:,} points",
        ["stage", "points at most", f"time {mark}", f"disk {mark}"],
        [
            [WORDS[one.stage], f"{one.points:,}", lasting(one.seconds), human(one.bytes, "B")]
            for one in found.stages
        ],
        f"With {jobs} process{'es' if jobs > 1 else ''}; from {found.sampled:,} points timed here, "
        f"of which {found.kept:.0%} meet the constraints. {mark} measured-here.",
    )
    show.table(
        "What varies",
        ["axis", "values"],
        [[axis.name, f"{axis.size:,}" if axis.size else "drawn"] for axis in space.axes],
    )
    wanted = ", ".join(f"{_sense(sense)} {name}" for name, sense in space.objectives)
    print(f"Objectives: {wanted}")
    if space.goals:
        print(f"Goals: {'; '.join(goal.text for goal in space.goals)}")
    print(f"Words: {', '.join(space.words)}")


def say_plan(space: Space, found: Forecast, shard: Shard) -> None:
    """One line before a run."""
    part = f"; shard {shard} is one of {shard.of} parts" if shard.of > 1 else ""
    show.say(
        f"{space.title}: {space.size:,} points, some {lasting(found.seconds)}, "
        f"{human(found.bytes, 'B')}{part}"
    )


def _sense(sense: int) -> str:
    return "minimise" if sense > 0 else "maximise"


def answer_facts(answer: Answer) -> dict[str, Any]:
    """The rows of an answer, and what its columns are."""
    names = list(answer.columns)
    lists = [answer.columns[name].tolist() for name in names]
    return {
        "columns": {name: one._asdict() for name, one in answer.about.items()},
        "rows": [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)],
    }


def show_answer(answer: Answer) -> None:
    """The first rows of an answer; units and evidence at the heads of its columns."""
    from ..sweeps.design.traced import FROM

    marks: dict[str, str] = {str(word): mark for word, mark in MARKS.items()}
    heads, used = [], set[str]()
    for name, one in answer.about.items():
        words = one.evidence.removeprefix(FROM).split(" or ")
        used |= set(words) & marks.keys()
        mark = "".join(marks.get(word, "") for word in words)
        heads.append(" ".join(part for part in (name, mark) if part))
    lists = [column[:MOST_SHOWN].tolist() for column in answer.columns.values()]
    rows = [[_cell(value) for value in row] for row in zip(*lists, strict=True)]
    count = max((column.size for column in answer.columns.values()), default=0)
    note = ", ".join(f"{marks[word]} {word}" for word in sorted(used))
    if count > len(rows):
        note = f"The first {len(rows)} of {count:,} rows; --csv or --out write them all. {note}"
    show.table("", heads, rows, note)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if value != value else f"{value:.6g}"
    return str(value)
