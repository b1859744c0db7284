"""tune: a strategy asks, a runner answers, and everything that was measured is kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import content_hash
from .journal import Journal
from .names import strategy_named
from .runner import Runner, Trial
from .strategy import Question, Search, Strategy, Teacher
from .tuning import Tuning

PATIENCE = 10_000
"""A strategy that asks for what it knows, this often in a row, has nothing new to ask."""


def tune(
    runner: Runner,
    strategy: str | Strategy,
    budget: int,
    seed: int = 0,
    *,
    predicted: NDArray[np.float64] | None = None,
    teachers: Sequence[Teacher] = (),
    journal: Path | None = None,
    watch: Callable[[Trial], None] | None = None,
) -> Tuning:
    """Tries at most `budget` different configurations; one that fails counts like any other.

    strategy: a name, or a function of one's own. predicted, teachers: see `Question`. journal:
    where each trial is written as it ends; a search broken off goes on from there without measuring
    again. watch: is shown each trial. Ctrl-C ends the search and keeps its trials.
    """
    if budget < 1:
        raise BadInput("must be at least 1", key="budget", value=budget)
    question = Question(
        space=runner.space,
        budget=min(budget, len(runner.space)),
        seed=seed,
        predicted=predicted,
        teachers=tuple(teachers),
    )
    name = strategy if isinstance(strategy, str) else strategy.__name__
    chosen = strategy_named(strategy) if isinstance(strategy, str) else strategy
    search = chosen(question)  # refuses the question before a file is begun
    book = Journal(journal, _header(runner, question, name)) if journal else None
    trials: list[Trial] = []
    stopped = False
    try:
        for trial in _tried(runner, unique(search, question.budget), book):
            trials.append(trial)
            if watch:
                watch(trial)
    except KeyboardInterrupt:
        stopped = True
    return Tuning(
        space=runner.space.name,
        about=runner.about,
        evidence=runner.evidence,
        strategy=name,
        seed=seed,
        budget=question.budget,
        trials=tuple(trials),
        taught_by=tuple(teacher.name for teacher in teachers),
        stopped=stopped,
    )


def _tried(
    runner: Runner, search: Generator[int, float, None], book: Journal | None
) -> Iterator[Trial]:
    """What became of each configuration asked for, by the journal or else by the runner."""
    known = book.known(runner.space) if book else {}
    row = next(search, None)
    while row is not None:
        trial = known.get(row) or runner(row)
        if book and row not in known:
            book.add(trial)
        yield trial
        row = sent(search, trial.seconds)


def unique(search: Search, budget: int) -> Generator[int, float, None]:
    """The search without its repeats, up to `budget` rows: those are answered from memory."""
    known: dict[int, float] = {}
    repeats = 0
    row = next(search, None)
    while row is not None and len(known) < budget and repeats < PATIENCE:
        repeats = repeats + 1 if row in known else 0
        if row not in known:
            known[row] = yield row
        row = sent(search, known[row]) if len(known) < budget else None
    search.close()


def sent(search: Generator[int, float, None], seconds: float) -> int | None:
    """Answers the search; its next question, None where it has no more."""
    try:
        return search.send(seconds)
    except StopIteration:
        return None


def _header(runner: Runner, question: Question, strategy: str) -> dict[str, object]:
    """What a journal must share with a search for its trials to be answers to it."""
    space = question.space
    taught = [
        teacher.name.encode() + teacher.space.table.tobytes() + teacher.seconds.tobytes()
        for teacher in question.teachers
    ]
    predicted = b"" if question.predicted is None else question.predicted.tobytes()
    return {
        "about": runner.about,
        "space": space.name,
        "strategy": strategy,
        "seed": question.seed,
        "configurations": content_hash(
            msgspec.json.encode(space.parameters), space.table.tobytes()
        ),
        "knowledge": content_hash(predicted, *taught),
    }
