"""Rows of words as what they stand for, and the answers that a closer look gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...base import BadInput
from ...base.parquet import Columns
from ...hardware import System
from ...workload import MoEModel, Parallel, Step, make_step
from .paths import is_path
from .results import OK, TOO_LARGE
from .routed import Routed, routed
from .words import WORDS, asked, model_of, split_of, system_of

LOAD = ("batch", "context", "prompt", "output", "kernels", "units", "scheduler")
"""Words that leave the machine, the model and its split as they are."""


class Setup(NamedTuple):
    """A model split over a machine, and how its tokens are routed."""

    model: MoEModel
    system: System
    parallel: Parallel
    routed: Routed

    def step(self, **load: int) -> Step:
        """The step of `make_step` under this routing."""
        return make_step(self.model, chance=self.routed.chance, **load)


class Row(NamedTuple):
    """A row's number, its words, and what they stand for."""

    number: int
    words: Mapping[str, Any]
    setup: Setup

    def word(self, name: str) -> Any:
        """Its value, or its default."""
        value = asked(self.words, name)
        return int(value) if WORDS[name].kind == "whole" else value


class Refused(NamedTuple):
    """A row that cannot be built, and why."""

    number: int
    fault: BadInput


class Answer(NamedTuple):
    """What a detail says of a row; None for what it leaves as at the bound."""

    detail: str
    tpot_s: float
    ttft_s: float | None = None
    throughput_tokens_per_s: float | None = None
    energy_j_per_token: float | None = None
    limiter: str | None = None


def rows_of(columns: Columns, bound: Columns, here: Path) -> Iterator[Row | Refused]:
    """The rows that have numbers at the bound. Specs of rows that differ in their load alone are
    shared."""
    names = [name for name in columns if name in WORDS or is_path(name)]
    fixed = [name for name in names if name not in LOAD]
    lists = {name: columns[name].tolist() for name in names}
    known: dict[tuple[Any, ...], Setup | BadInput] = {}
    for number, status in enumerate(bound["status"].tolist()):
        if status not in (OK, TOO_LARGE):
            continue
        words = {name: values[number] for name, values in lists.items()}
        key = tuple(words[name] for name in fixed)
        if key not in known:
            known[key] = _setup(words, here)
        setup = known[key]
        if isinstance(setup, BadInput):
            yield Refused(number, setup)
            continue
        row = Row(number, words, setup)
        if row.word("batch") < 1:
            yield Refused(number, BadInput("must be at least 1", key="batch", value=0))
        else:
            yield row


def _setup(words: Mapping[str, Any], here: Path) -> Setup | BadInput:
    try:
        model, system = model_of(words, here), system_of(words, here)
        split = split_of(words, system, model)
        return Setup(model, system, split, routed(words, model, split, here))
    except BadInput as fault:
        return fault
