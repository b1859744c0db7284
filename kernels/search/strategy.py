"""What a search strategy is: it asks for configurations and is told their seconds."""

from __future__ import annotations

from collections.abc import Callable, Generator

import msgspec
import numpy as np
from numpy.typing import NDArray

from .space import Space


class Teacher(msgspec.Struct, frozen=True, kw_only=True):
    """A space that was measured before, on another GPU or another shape. seconds `[configs]`, inf
    where a configuration failed, nan where it was not tried."""

    name: str
    space: Space
    seconds: NDArray[np.float64]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a search starts from.

    budget: how many different configurations may be measured. predicted `[configs]`: seconds by a
    model, None where there is none. teachers: none of them is what is tuned here.
    """

    space: Space
    budget: int
    seed: int
    predicted: NDArray[np.float64] | None = None
    teachers: tuple[Teacher, ...] = ()


Search = Generator[int, float, None]
"""Yields the row of a configuration and is sent its seconds, inf where it failed. It may ask again
for one: that costs nothing and answers the same. It ends when it has nothing more to ask."""

Strategy = Callable[[Question], Search]
"""The same question and answers give the same rows, so that an interrupted search is taken up by
answering it again."""
