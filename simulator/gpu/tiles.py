"""Tokens per expert -> rows, touched experts and row tiles on one device."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TILE_ROWS = (16, 32, 64, 128)
"""Rows of the tiles that grouped kernels are built with."""


class ExpertLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What the experts of one device are given, for each of many layers: `[layers]`.

    rows: assignments. touched: experts with at least one. tiles: `[layers, TILE_ROWS]`, row tiles
    of each height: an expert's last tile is padded, and no tile holds rows of two experts. Means
    where the load is drawn.
    """

    rows: Floats
    touched: Floats
    tiles: Floats


def load_of(loads: NDArray[np.int64]) -> ExpertLoad:
    """The mean over draws of loads `[draws, experts]`, as one layer."""
    heights = np.array(TILE_ROWS)
    tiles = -(-loads[:, :, None] // heights)
    return ExpertLoad(
        rows=np.array([loads.sum(axis=1).mean()]),
        touched=np.array([(loads > 0).sum(axis=1).mean()]),
        tiles=tiles.sum(axis=1).mean(axis=0)[None, :],
    )


def rank_load(
    rank: NDArray[np.int64], loads: Floats, touched: Floats, tokens: float | None, ranks: int
) -> ExpertLoad:
    """The mean load of each of `ranks` devices, from the experts that they hold.

    rank, loads, touched: `[experts]`: who holds it, its assignments, the chance that it has any.
    tokens: None where loads were counted; else each of so many tokens takes an expert by itself.
    derived: its rows are then binomial, and its tiles of height b the sum over j of P(rows > j b).
    """
    tiles = np.ceil(loads[:, None] / np.array(TILE_ROWS, float))
    if tokens is not None:
        tiles = np.stack([_mean_tiles(loads, tokens, height) for height in TILE_ROWS], axis=1)
    summed = [np.bincount(rank, part, minlength=ranks) for part in (loads, touched, *tiles.T)]
    return ExpertLoad(
        rows=summed[0].astype(float),
        touched=summed[1].astype(float),
        tiles=np.stack(summed[2:], axis=1).astype(float),
    )


def _mean_tiles(loads: Floats, tokens: float, height: int) -> Floats:
    """derived: P(rows > e) of a binomial is the regularised incomplete beta function at p with
    parameters e + 1 and tokens - e."""
    from scipy.special import betainc

    distinct, code = np.unique(loads, return_inverse=True)
    count, most = np.ceil(tokens), float(distinct.max())
    edges = np.arange(0.0, min(count, most + 12 * np.sqrt(most) + 12), height)
    chance = np.minimum(distinct / count, 1.0)
    more = betainc(edges + 1, count - edges, chance[:, None])
    return np.asarray(more.sum(axis=1)[code])


def every_slot(tokens: Floats, assigned: ExpertLoad, top_k: Floats) -> ExpertLoad:
    """The load where each token that reaches the device computes all its slots there.

    tokens: of the group, `[layers]`. At most min(tokens, rows) of them reach the device; the slots
    that other devices own run through one of the touched experts, so no further weights are read.
    (Read off the A100 tables: with top 8 the time of a large batch does not fall until ep exceeds
    8, and halves with each doubling from there; that of a single token falls at once.)
    """
    rows = np.ceil(np.minimum(tokens, assigned.rows)) * top_k
    more = np.maximum(rows - assigned.rows, 0.0)
    tiles = assigned.tiles + np.ceil(more[:, None] / np.array(TILE_ROWS, float))
    return ExpertLoad(rows=assigned.rows + more, touched=assigned.touched, tiles=tiles)


def even_load(rows: Floats, experts: Floats) -> ExpertLoad:
    """Rows dealt to experts in turn: `[layers]` each. Some get one row more than the others.

    derived: with r = rows mod experts, r experts hold floor + 1 rows and the rest floor.
    """
    each = np.floor(rows / experts)
    more = rows - each * experts
    heights = np.array(TILE_ROWS, float)
    upper, lower = np.ceil((each + 1)[:, None] / heights), np.ceil(each[:, None] / heights)
    tiles = more[:, None] * upper + (experts - more)[:, None] * lower
    return ExpertLoad(rows=rows, touched=np.where(each > 0, experts, more), tiles=tiles)
