"""A genetic search: parents by tournament, a value from either, now and then a value of neither."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .strategy import Question, Search

POPULATION = 20
TOURNAMENT = 3
MUTATION = 0.1
"""Chance that a value of a child is drawn anew. The usual textbook values; none was tuned here."""
ATTEMPTS = 50
"""Children tried until one is a configuration of the space and new; then a random new one is."""


def genetic(question: Question) -> Search:
    """A generation is POPULATION configurations; the best POPULATION of all so far are parents."""
    space, rng = question.space, np.random.default_rng(question.seed)
    rows = {places.tobytes(): row for row, places in enumerate(space.table)}
    unseen = rng.permutation(len(space)).tolist()
    seconds: dict[int, float] = {}
    while len(seconds) < len(space):
        parents = sorted(seconds, key=lambda row: seconds[row])[:POPULATION]
        for _ in range(POPULATION):
            row = _child(space.table, rows, parents, seconds, rng) if parents else None
            while row is None and unseen:
                row = unseen.pop()
                row = None if row in seconds else row
            if row is not None:
                seconds[row] = yield row


def _child(
    table: NDArray[np.int16],
    rows: dict[bytes, int],
    parents: list[int],
    seconds: dict[int, float],
    rng: np.random.Generator,
) -> int | None:
    """A new configuration of two parents; None where none was found."""
    most = table.max(axis=0) + 1
    for _ in range(ATTEMPTS):
        # Parents are sorted: the least of some draws is the best of them.
        first, second = (parents[rng.integers(len(parents), size=TOURNAMENT).min()] for _ in "ab")
        places = np.where(rng.random(len(most)) < 0.5, table[first], table[second])
        drawn = rng.integers(most).astype(np.int16)
        places = np.where(rng.random(len(most)) < MUTATION, drawn, places)
        row = rows.get(places.tobytes())
        if row is not None and row not in seconds:
            return row
    return None
