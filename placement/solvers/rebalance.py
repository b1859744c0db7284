"""Rebalancing the map in force with few moves, and how few any method needs.

Engines stall while experts travel, so a move is the price: an expert that comes to a rank which
does not hold it now. Steps are those of csrc/anneal/ease.cpp; slots that keep their expert keep it
in place, so an engine may apply the layers one by one (`objective.moved` counts them by layer).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import ExpertMap
from ..objective import imbalance
from ..placement import ROUNDING
from ..problem import Problem
from .ease import Held, Ints, eased
from .found import Found

Floats = NDArray[np.float64]

LADDER = (1.0025, 1.005, 1.01, 1.02, 1.04, 1.08, 1.16, 1.32)
"""Targets whose paths make the frontier: few for a loose one are not the first of a tight one."""


def rebalance(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """The best balance that `most_moves` pay for, from `current`.

    With a cap: the fewest moves found that keep it. With `weights.moves`: each layer stops where a
    move saves less load of its busiest rank than it weighs. Otherwise the worst layer is made as
    good as the moves allow, then the next. Raises BadInput where the moves do not reach the cap.
    """
    held = _start(problem)
    caps = problem.caps
    if problem.cap is not None and problem.weights.moves == 0:
        front = _frontier(problem, held, [caps])
        rows = front.cheapest(caps)
    else:
        front = _frontier(problem, held, [np.minimum(caps, target) for target in LADDER])
        rows = _chosen(problem, front)
    total = int(front.moves_of(rows).sum())
    if problem.most_moves is not None and total > problem.most_moves:
        raise BadInput(_too_few(problem, held, total), key="most_moves", value=problem.most_moves)
    return Found(_map(problem, front.replay(problem, held, rows)))


def least_moves(problem: Problem, ratio: float | Floats) -> Ints:
    """Moves that any map needs, from `current`, to keep each layer's busiest rank within `ratio` of
    the mean, `[moe_layers]`; over all maps that put no expert twice on a rank that did not.

    derived: a rank loses load where an expert leaves, whose slot then takes a new one (a move to
    this rank), or gets one more copy (a move of this expert, good for every rank that holds it). A
    rank above the limit needs at least as many such experts as its largest shares take to cover its
    excess. So N moves serve at most N + (overloaded ranks of the N most widespread experts).
    """
    held, limits = _start(problem), np.broadcast_to(ratio, len(problem.layers)) * problem.mean_loads
    rank_of = problem.slot_ranks
    out = np.zeros(len(problem.layers), np.int64)
    for row, limit in enumerate(limits * (1 + ROUNDING)):
        share = problem.loads[row] / np.bincount(held[row], minlength=problem.experts)
        on_rank = np.bincount(rank_of, share[held[row]], minlength=problem.ranks)
        needs, spread = 0, np.zeros(problem.experts, np.int64)
        for rank in np.flatnonzero(on_rank > limit):
            here = np.unique(held[row][rank_of == rank])
            taken = np.cumsum(np.sort(share[held[row][rank_of == rank]])[::-1])
            needs += int((on_rank[rank] - taken > limit).sum()) + 1
            spread[here] += 1
        widest = np.cumsum(np.sort(spread)[::-1]) if problem.has_copies else np.zeros(1, np.int64)
        served = np.arange(1, len(widest) + 1) + widest
        enough = served >= needs
        out[row] = 0 if not needs else int(enough.argmax()) + 1 if enough.any() else needs
    return out


def least_ratio(problem: Problem, most_moves: int) -> float:
    """No map within `most_moves` of `current` has a worst layer below this ratio to the mean."""
    low, high = 1.0, float(imbalance(_map(problem, _start(problem)), problem.loads).max())
    if int(least_moves(problem, low).sum()) <= most_moves:
        return low
    for _ in range(40):
        middle = (low + high) / 2
        if int(least_moves(problem, middle).sum()) > most_moves:
            low = middle
        else:
            high = middle
    return low


class Frontier(msgspec.Struct, frozen=True):
    """Points that the steps pass: ratio to the mean and moves, `[moe_layers, points]`.

    target, step: `[moe_layers, points]`, the run that a point is of, and its step there.
    """

    ratio: Floats
    moved: Ints
    target: Floats
    step: Ints

    def cheapest(self, limits: Floats) -> Ints:
        """The point of fewest moves within each layer's limit, or at its best: `[moe_layers]`."""
        limits = np.maximum(limits, self.ratio.min(axis=1)) * (1 + ROUNDING)
        allowed = np.where(self.ratio <= limits[:, None], self.moved, np.iinfo(np.int64).max)
        return np.asarray(allowed.argmin(axis=1))

    def moves_of(self, rows: Ints) -> Ints:
        return np.asarray(np.take_along_axis(self.moved, rows[:, None], 1)[:, 0])

    def within(self, most_moves: int) -> Ints:
        """The points whose worst layer is best, then the next worst, for so many moves."""
        levels = np.unique(self.ratio)
        low, high = 0, len(levels) - 1  # the last level costs nothing
        while low < high:
            middle = (low + high) // 2
            rows = self.cheapest(np.full(len(self.ratio), levels[middle]))
            if int(self.moves_of(rows).sum()) <= most_moves:
                high = middle
            else:
                low = middle + 1
        return self.cheapest(np.full(len(self.ratio), levels[low]))

    def replay(self, problem: Problem, held: Held, rows: Ints) -> Held:
        """The slots at these points."""
        target = np.take_along_axis(self.target, rows[:, None], 1)[:, 0] * problem.mean_loads
        step = np.take_along_axis(self.step, rows[:, None], 1)[:, 0]
        rank_of, ranks = problem.slot_ranks, problem.ranks
        return eased(problem.loads, held, rank_of, ranks, target, step, priced=True).held


def frontier(problem: Problem) -> Frontier:
    """Balance against moves, layer by layer, from `current`."""
    ladder = [np.full(len(problem.layers), target) for target in LADDER]
    return _frontier(problem, _start(problem), ladder)


def rebalanced(problem: Problem, front: Frontier, most_moves: int) -> ExpertMap:
    """The map whose worst layer is best for so many moves."""
    return _map(problem, front.replay(problem, _start(problem), front.within(most_moves)))


def _frontier(problem: Problem, held: Held, targets: list[Floats]) -> Frontier:
    ratio, moved, target, step = [], [], [], []
    for ratios in targets:
        run = eased(
            problem.loads,
            held,
            problem.slot_ranks,
            problem.ranks,
            ratios * problem.mean_loads,
            priced=True,
        )
        ratio.append(run.heaviest / problem.mean_loads[:, None])
        moved.append(run.moved)
        target.append(np.broadcast_to(ratios[:, None], run.moved.shape))
        step.append(np.broadcast_to(np.arange(run.moved.shape[1]), run.moved.shape))
    return Frontier(
        np.concatenate(ratio, axis=1),
        np.concatenate(moved, axis=1),
        np.concatenate(target, axis=1),
        np.concatenate(step, axis=1),
    )


def _chosen(problem: Problem, front: Frontier) -> Ints:
    """By weight where moves have one, a heavier one where they are too many; else by budget."""
    most, weight = problem.most_moves, problem.weights.moves
    if weight == 0:
        return front.within(np.iinfo(np.int64).max if most is None else most)
    capped = front.ratio > np.maximum(problem.caps, front.ratio.min(axis=1))[:, None]
    load = np.where(capped, np.inf, front.ratio * problem.mean_loads[:, None])
    heaviest = float(problem.loads.sum())
    while True:
        rows = np.asarray((load + weight * front.moved).argmin(axis=1))
        if most is None or int(front.moves_of(rows).sum()) <= most or weight > heaviest:
            return rows
        weight *= 1.25


def _start(problem: Problem) -> Held:
    """The slots of `current` in rank order; raises BadInput where there are none that fit."""
    current = problem.current
    if current is None:
        raise BadInput("rebalance needs the map that is loaded now", key="current map")
    slots = np.bincount(current.ranks, minlength=problem.ranks)
    if (slots != problem.slots_per_rank).any():
        raise BadInput(
            f"has the slots {slots.tolist()} on its ranks; {problem.slots_per_rank.tolist()} are "
            "asked: rebalance keeps the slots",
            key="current map",
        )
    order = np.argsort(current.ranks, kind="stable")
    return np.ascontiguousarray(current.slots[:, order], np.int32)


def _map(problem: Problem, held: Held) -> ExpertMap:
    return ExpertMap(
        slots=held, ranks=problem.slot_ranks, layers=problem.layers, experts=problem.experts
    )


def _too_few(problem: Problem, held: Held, needed: int) -> str:
    assert problem.most_moves is not None
    front = frontier(problem)
    rows = front.within(problem.most_moves)
    reached = float(np.take_along_axis(front.ratio, rows[:, None], 1).max())
    least = int(least_moves(problem, problem.caps).sum())
    return (
        f"the cap takes {needed} moves as found here, and at least {least} however found; so many "
        f"reach {reached:.4f} of the mean: allow more, or raise the cap"
    )
