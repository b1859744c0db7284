"""Who of a processor and its PIM works, and whether both do at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base import unknown
from .coprocess import COPROCESS, SPACES, Shares, by_space

Floats = NDArray[np.float64]
Share = Callable[[Floats, Floats, Floats], Shares]
"""Seconds of each expert on the xPU and on the PIM, and loads, `[rows, experts]` -> who runs it."""


class Policy(NamedTuple):
    """Who of a pair works. share: of experts, None for the xPU alone; together: both units work at
    a time, so that prompts are attended to by one while the other decodes."""

    share: Share | None
    together: bool


def _spaces(xpu_s: Floats, pim_s: Floats, loads: Floats) -> Shares:
    """As many spaces as a rank's experts fill evenly."""
    return by_space(xpu_s, pim_s, math.gcd(xpu_s.shape[1], SPACES))


POLICIES: dict[str, Policy] = {
    "xpu": Policy(None, together=False),
    "one-unit": Policy(COPROCESS["one-unit"], together=False),
    "rule": Policy(COPROCESS["rule"], together=True),
    "spaces": Policy(_spaces, together=True),
    "exact": Policy(COPROCESS["exact"], together=True),
}
"""'xpu': the PIM idles. 'one-unit': a layer's experts run on the faster unit, one unit works at a
time (plain Duplex). The others share a layer's experts, as `coprocess` has it (Duplex +PE)."""

SHARING = "rule"
"""The policy where none is asked for; a processor without PIM works alone under each."""


def policy_of(name: str) -> Policy:
    """The policy of that name, `SHARING` for ''."""
    name = name or SHARING
    if name not in POLICIES:
        raise unknown("way to share work", name, POLICIES, key="--units")
    return POLICIES[name]
