"""Served: what became of every request and of every stage."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from .setting import Setting

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Moments of each request, `[requests]`, and the stages in time, `[stages]`; seconds.

    arrival_s: as asked, in a closed loop when the request got its place. start_s: of the first
    stage that computes its prompt. stage_s: duration; stage_end_s; energy_j: NaN where unknown;
    decoding: requests that made a token after their first; prompt_tokens: computed; first_tokens:
    prompts that ended and so made their first token. full_stages: in a closed loop, the stages up
    to the last one in which the batch was as full as its limits let it.
    """

    arrival_s: Floats
    start_s: Floats
    first_token_s: Floats
    finish_s: Floats
    output_tokens: Ints
    stage_s: Floats
    stage_end_s: Floats
    energy_j: Floats
    decoding: Ints
    prompt_tokens: Ints
    first_tokens: Ints
    full_stages: int

    @property
    def tokens(self) -> Ints:
        """Tokens that each stage generated."""
        return np.asarray(self.decoding + self.first_tokens)

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """Which stages computed a prompt."""
        return np.asarray(self.prompt_tokens > 0)

    @property
    def steady(self) -> slice:
        """The stages that count for throughput and gaps: up to the last full one in a closed loop,
        so that its end, when nobody replaces who leaves, is left out; else all."""
        return slice(0, self.full_stages or self.stage_s.size)


class _Run(NamedTuple):
    """Consecutive stages with the same counts: decoding requests, prompt tokens, first tokens."""

    seconds: Floats
    ends: Floats
    energy_j: Floats
    decoding: int
    prompt_tokens: int
    first_tokens: int


class Ledger:
    """A Served that is being written: moments by request, stages by runs."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.arrival_s = setting.arrival_s.copy()
        self.start_s, self.first_token_s, self.finish_s = (
            np.zeros(setting.prompt.size) for _ in range(3)
        )
        self.runs: list[_Run] = []
        self.stages = self.full_stages = 0

    def add(
        self,
        seconds: Floats,
        ends: Floats,
        energy_j: Floats,
        counts: tuple[int, int, int],
        full: bool,
    ) -> None:
        """A run of stages with its (decoding requests, prompt tokens, first tokens)."""
        self.runs.append(_Run(seconds, ends, energy_j, *counts))
        self.stages += seconds.size
        if full and self.setting.closed:
            self.full_stages = self.stages

    def served(self) -> Served:
        asked = slice(self.setting.met, None)
        sizes = [run.seconds.size for run in self.runs]

        def each(counts: list[int]) -> Ints:
            return np.repeat(np.array(counts, np.int64), sizes)

        return Served(
            arrival_s=self.arrival_s[asked],
            start_s=self.start_s[asked],
            first_token_s=self.first_token_s[asked],
            finish_s=self.finish_s[asked],
            output_tokens=self.setting.output[asked],
            stage_s=np.concatenate([run.seconds for run in self.runs]),
            stage_end_s=np.concatenate([run.ends for run in self.runs]),
            energy_j=np.concatenate([run.energy_j for run in self.runs]),
            decoding=each([run.decoding for run in self.runs]),
            prompt_tokens=each([run.prompt_tokens for run in self.runs]),
            first_tokens=each([run.first_tokens for run in self.runs]),
            full_stages=self.full_stages,
        )
