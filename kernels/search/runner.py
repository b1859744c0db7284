"""What a runner is: it knows a space, and what became of each configuration that it tries."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from ...base.evidence import Evidence
from .space import Space

Status = Literal["ok", "refused", "compile", "runtime", "timeout", "wrong"]
"""What became of a configuration. refused: it breaks a rule or cannot be launched; compile: it does
not compile; runtime: it crashed; timeout: it was stopped; wrong: its numbers are."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration tried.

    seconds: of one run, as its runner takes it, mostly the median; inf unless status is ok.
    spread: interquartile range over the median. repeats: how often it was timed. reason: of what is
    not ok, in one sentence. facts: what else is known of it, numbers by name (`compile_seconds`,
    `registers`, ...).
    """

    config: dict[str, Any]
    status: Status
    seconds: float = float("inf")
    spread: float = 0.0
    repeats: int = 0
    reason: str = ""
    facts: dict[str, float] = {}

    def __post_init__(self) -> None:
        if (self.status == "ok") != (0 < self.seconds < float("inf")):
            raise ValueError("a time belongs to a trial that is ok, and to no other")


class Runner(Protocol):
    """about: what was run where, in a line for people and T4 files. evidence: of its seconds."""

    @property
    def space(self) -> Space: ...
    @property
    def about(self) -> dict[str, str]: ...
    @property
    def evidence(self) -> Evidence: ...
    def __call__(self, row: int) -> Trial: ...
