"""The split bound: how much of a pair's flow T any map can keep on its runs of ranks.

A map gives Y[i, j], the chance that i of one layer and j of the next are served by the same run;
kept = <T, Y>. Every such Y obeys, with C slots a run, G runs and E experts:

1. 0 <= Y <= 1, rows and columns sum to at most C (to exactly C where each expert has one copy and
   runs have equal slots);
2. singular values at most C, and E in sum, for Y = X X'^T where X holds the shares of the runs
   (columns of norm^2 at most C, E in all); with equal slots the constant C/E 11^T can be taken out,
   which leaves G - 1 of them;
3. (Y c)_i <= the load allowed for a run in the second layer, (Y^T r)_j <= in the first, for column
   sums c and row sums r of T: a run that keeps to the cap has no more to offer a row.

For any M, alpha >= 0, beta >= 0 the flow is split in three, T = M + (alpha c^T + r beta^T) + S, and
each part is bounded by its own rule: kept <= matching(M) + L' sum alpha + L sum beta + KyFan(S).
1 alone is the b-matching, 2 alone the spectral bound; with 3 fixed at alpha = r / total this is the
balanced bound of the reference. The split is found by the alternating direction method of
multipliers on max <T, Y> over the intersection of the three; any split is a valid bound, so a
search that stops early only gives a weaker one. derived.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from .matching import matching_duals, matching_value

Floats = NDArray[np.float64]


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a map has to keep to in one pair of layers.

    slots: of the largest run. runs: how many. equal: every expert has one copy and every run
    `slots`. most: the largest load of a run in the first and in the second layer (inf: any), in
    the units of T.
    """

    slots: int
    runs: int
    equal: bool
    most: tuple[float, float]


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """A split of T and its value: no map keeps more. duals: `[2, E]` of the matching on `part
    [E, E]`; load_duals: `[2, E]`, alpha and beta."""

    kept: float
    duals: Floats
    part: NDArray[np.float32]
    load_duals: Floats


def best_split(flow: Floats, room: Room, iterations: int) -> Split:
    """The split after so many iterations of the search (20 to 80 are sensible)."""
    rows, columns = flow.sum(axis=1), flow.sum(axis=0)
    total = max(float(flow.sum()), 1e-300)
    loads_count = bool(np.isfinite(room.most).all())
    even = np.outer(rows, columns) / total
    # Steps on the scale of what differs between pairs of experts; found on drawn traces.
    step = 2.0 * float((flow - even).std()) or 1.0
    sets = _Sets(flow, room, loads_count)
    duals = sets.start(even / step)
    middle = np.full(flow.shape, min(1.0, room.slots / len(flow)))
    for _ in range(iterations):
        nearest = sets.project(middle, duals)
        for dual, point in zip(duals, nearest, strict=True):
            dual += middle - point
        middle = flow / (step * len(duals))
        for dual, point in zip(duals, nearest, strict=True):
            middle += (point - dual) / len(duals)
    part = (step * (duals[1] + duals[2])).astype(np.float32)
    load_duals = np.zeros((2, len(flow)))
    if loads_count:
        load_duals[0] = np.maximum(step * (duals[3] @ columns) / (columns @ columns), 0)
        load_duals[1] = np.maximum(step * (rows @ duals[4]) / (rows @ rows), 0)
    return certified(flow, room, part, load_duals)


def certified(flow: Floats, room: Room, part: NDArray[np.float32], load_duals: Floats) -> Split:
    """The value of a split, with the best duals of its matching part."""
    wide = part.astype(np.float64)
    duals = matching_duals(wide, room.slots, at_most=not room.equal)
    alpha, beta = load_duals
    rest = flow - wide - np.outer(alpha, flow.sum(axis=0)) - np.outer(flow.sum(axis=1), beta)
    kept = matching_value(wide, room.slots, duals) + spectral_value(rest, room)
    if alpha.any() or beta.any():
        kept += room.most[1] * float(alpha.sum()) + room.most[0] * float(beta.sum())
    return Split(kept=kept, duals=duals, part=part, load_duals=load_duals)


def spectral_value(weights: Floats, room: Room) -> float:
    """The most that <weights, Y> can be when only the singular values of Y are known."""
    experts = len(weights)
    if room.equal:
        values = np.linalg.svd(_centred(weights), compute_uv=False)
        constant = room.slots / experts * float(weights.sum())
        return constant + room.slots * float(values[: room.runs - 1].sum())
    values = np.linalg.svd(weights, compute_uv=False)
    # Each singular value of Y is at most `slots`, all of them at most `experts` in sum.
    whole, part = divmod(experts, room.slots)
    tail = part * float(values[whole]) if part and whole < experts else 0.0
    return room.slots * float(values[:whole].sum()) + tail


def _centred(weights: Floats) -> Floats:
    rows = weights.mean(axis=1, keepdims=True)
    return np.asarray(weights - rows - weights.mean(axis=0, keepdims=True) + rows.mean())


class _Sets:
    """Projections on the sets of Y, with what they remember from one iteration to the next."""

    def __init__(self, flow: Floats, room: Room, loads_count: bool) -> None:
        self.room = room
        self.rows, self.columns = flow.sum(axis=1), flow.sum(axis=0)
        self.loads_count = loads_count
        self.cut_rows = np.zeros(len(flow))
        self.cut_columns = np.zeros(len(flow))

    def start(self, even: Floats) -> list[Floats]:
        """Duals that begin at the balanced bound, half of it on each side."""
        zero = [np.zeros_like(even) for _ in range(3)]
        return [*zero, even / 2, even / 2] if self.loads_count else zero

    def project(self, middle: Floats, duals: list[Floats]) -> list[Floats]:
        by_rows, self.cut_rows = _box(middle + duals[1], self.room, self.cut_rows)
        by_columns, self.cut_columns = _box((middle + duals[2]).T, self.room, self.cut_columns)
        out = [self._spectral(middle + duals[0]), by_rows, by_columns.T]
        if self.loads_count:
            out.append(_below(middle + duals[3], self.columns, self.room.most[1]))
            out.append(_below((middle + duals[4]).T, self.rows, self.room.most[0]).T)
        return out

    def _spectral(self, point: Floats) -> Floats:
        """Nearest Y with bounded singular values.

        They come from the eigenvalues of point' point, at half the time of a singular value
        decomposition: small ones are lost in rounding, but those are cut to zero anyway.
        """
        slots, experts = self.room.slots, len(point)
        inner = _centred(point) if self.room.equal else point
        squares, right = np.linalg.eigh(inner.T @ inner)
        values = np.sqrt(np.maximum(squares, 0.0))
        most = slots * (self.room.runs - 1) if self.room.equal else experts
        wanted = np.clip(values - _water_level(values, slots, most), 0, slots)
        keep = wanted > 0
        scale = wanted[keep] / values[keep]
        near = (inner @ (right[:, keep] * scale)) @ right[:, keep].T
        return np.asarray(near + slots / experts if self.room.equal else near)


def _water_level(values: Floats, top: float, most: float) -> float:
    """t >= 0 with sum clip(values - t, 0, top) <= most, by bisection."""
    low, high = 0.0, float(values.max(initial=0.0))
    if np.clip(values, 0, top).sum() <= most:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        if np.clip(values - middle, 0, top).sum() > most:
            low = middle
        else:
            high = middle
    return high


def _box(points: Floats, room: Room, cut: Floats) -> tuple[Floats, Floats]:
    """Nearest rows in 0..1 that sum to (at most) `slots`, and the cut of each row.

    Newton steps on the cut from the last iteration's, held inside a bracket.
    """
    low, high = points.min(axis=1) - 1, points.max(axis=1)
    floor = 0.0 if not room.equal else -np.inf
    cut = np.clip(cut, low, high)
    for _ in range(30):
        near = points - cut[:, None]
        np.clip(near, 0, 1, out=near)
        off = near.sum(axis=1) - room.slots
        if np.abs(off).max() < 1e-6 * room.slots:
            break
        low, high = np.where(off > 0, cut, low), np.where(off < 0, cut, high)
        inside = ((near > 0) & (near < 1)).sum(axis=1)
        newton = cut + off / np.maximum(inside, 1)
        good = (inside > 0) & (newton > low) & (newton < high)
        cut = np.where(good, newton, (low + high) / 2)
    kept_cut = np.maximum(cut, floor)
    return np.clip(points - kept_cut[:, None], 0, 1), cut


def _below(points: Floats, weights: Floats, most: float) -> Floats:
    """Nearest rows whose weighted sum is at most `most`."""
    over = np.maximum(points @ weights - most, 0.0) / (weights @ weights)
    return points - over[:, None] * weights
