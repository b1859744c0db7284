"""What other winners say of a tile before physics is asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .contexts import Contexts, Rows
from .features import Floats

WIDTHS = np.array([1.0, 1.5, 1.0, 1.0, 0.5])
"""Octaves over which a winner still speaks for another context, along the columns of `near`."""
DOUBT = 0.5
"""Winners' worth of the frequencies over all contexts that are mixed in."""


def log_chances(target: Floats, source: Floats, wins: Floats, weights: Floats) -> Floats:
    """Log chance of each tile by a Gaussian kernel of WIDTHS over the sources, `[targets, tiles]`.

    target, source: `near` of the contexts that are asked about and of those that are known; wins
    `[sources, tiles]`; weights `[sources]`.
    """
    distance = (((target[:, None] - source[None]) / WIDTHS) ** 2).sum(axis=2)
    counts = (np.exp(-distance / 2) * weights) @ wins
    overall = wins.sum(axis=0) / wins.sum() + 1e-4
    counts = counts + DOUBT * overall / overall.sum()
    return np.asarray(np.log(counts / counts.sum(axis=1, keepdims=True)))


def class_weights(known: Contexts, rows: Rows) -> Floats:
    """Weight of each context, zero outside `rows`: a class counts as the root of its winners, so
    that the largest does not decide alone. `[contexts]`."""
    wins = known.wins.sum(axis=1)
    weights = np.zeros(len(wins))
    for group in np.unique(known.group[rows]):
        own = rows & (known.group == group)
        weights[own] = 1 / np.sqrt(wins[own].sum())
    return weights


def chances_from(known: Contexts, target: Floats, rows: Rows) -> Floats:
    """What the contexts of `rows` say of others: log chances `[targets, tiles]`."""
    weights = class_weights(known, rows)[rows]
    return log_chances(target, known.near[rows], known.wins[rows], weights)


def chances_elsewhere(known: Contexts, rows: Rows) -> Floats:
    """For each context of `rows`, what the classes of `rows` but its own say:
    `[contexts of rows, tiles]`."""
    found = np.zeros_like(known.wins)
    for group in np.unique(known.group[rows]):
        own, others = rows & (known.group == group), rows & (known.group != group)
        found[own] = chances_from(known, known.near[own], others)
    return found[rows]


def frequency_by_batch(
    tokens: NDArray[np.int64], known_tokens: NDArray[np.int64], wins: Floats
) -> Floats:
    """The yardstick: how often a tile won with just so many tokens; ties by how often at all.
    `[targets, tiles]`."""
    batches, place = np.unique(known_tokens, return_inverse=True)
    by_batch = np.zeros((len(batches) + 1, wins.shape[1]))
    np.add.at(by_batch, place, wins)
    found = np.minimum(np.searchsorted(batches, tokens), len(batches) - 1)
    # A batch that was never tuned for elsewhere has the last row: no win.
    found = np.where(batches[found] == tokens, found, len(batches))
    overall = wins.sum(axis=0)
    return np.asarray(by_batch[found] + overall / (overall.sum() + 1))
