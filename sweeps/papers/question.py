"""What is asked of a paper, and what comes back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ...workload import RoutingCounts, RoutingTrace
from ..report.section import Section
from .claim import Claim


def _silent(line: str) -> None:
    pass


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """seed: of drawn routing and of searches. small: fewer cases and tokens, for a quick look.
    popularity: recorded counts whose popularity is served instead of drawn routing (MoETuner)."""

    seed: int = 0
    small: bool = False
    popularity: RoutingCounts | None = None
    say: Callable[[str], None] = _silent


class Reproduced(msgspec.Struct, frozen=True):
    """The claims of a paper, and the sections that show them."""

    claims: tuple[Claim, ...]
    sections: tuple[Section, ...]


def as_prompts(trace: RoutingTrace, length: int) -> RoutingTrace:
    """The same tokens as prompts of `length` tokens, the last one maybe shorter."""
    place = np.arange(trace.tokens)
    return msgspec.structs.replace(
        trace,
        request_id=place // length,
        position=place % length,
        is_decode=np.zeros(trace.tokens, np.bool_),
    )
