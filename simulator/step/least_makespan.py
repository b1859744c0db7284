"""The least makespan of jobs on two unrelated machines, proven: a search over undominated sums.

Jobs are decided in order of pim / xpu. A state is a pair (xpu, pim) of sums so far. Three rules,
all derived, keep the states few:

- relaxation: were the jobs left divisible, they would go to the PIM in this order until both
  machines end together. No completion is shorter; cutting before or after the divided job is one;
- fixing: a job whose other side alone makes that bound reach the best known is decided at once;
- dominance: of two states that have decided the same jobs, one that is less in neither sum goes.
  n equal jobs thus offer n + 1 states, not 2^n.

Sums that differ by less than TOLERANCE of the least makespan count as equal, once a job: what is
proven least is so up to jobs x TOLERANCE.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

TOLERANCE = 1e-12
WIDTH = 20_000
"""States kept at once."""


def least_makespan(xpu_s: Floats, pim_s: Floats, width: int = WIDTH) -> tuple[Bools, float]:
    """(on_pim `[jobs]`, lower bound) of jobs that take `xpu_s` or `pim_s` `[jobs]` seconds.

    The bound is the makespan where the search was exhaustive. Where more than `width` states were
    worth keeping, those of the least bounds went on, and it is the least of what was let go.
    """
    order = np.lexsort((-xpu_s, np.arctan2(pim_s, xpu_s).round(12)))
    jobs = _Jobs(xpu_s[order], pim_s[order])
    first = jobs.relaxed(0, np.zeros(1), np.zeros(1))
    best, cut = float(first.makespan[0]), int(first.cut[0])
    placed = np.arange(len(order)) < cut
    free = jobs.undecided(placed, best)
    rest = _Jobs(jobs.xpu[free], jobs.pim[free])
    fixed = (jobs.xpu[~free & ~placed].sum(), jobs.pim[~free & placed].sum())
    better, bound = _search(rest, fixed, best, width)
    if better is not None:
        placed[free] = better
    on_pim = np.empty(len(order), np.bool_)
    on_pim[order] = placed
    return on_pim, bound


class _Relaxed(msgspec.Struct, frozen=True):
    """Of each state: the least that completions can reach; a completion, which puts the jobs up to
    `cut` that are left on the PIM, and its makespan."""

    bound: Floats
    cut: Ints
    makespan: Floats


class _Step(msgspec.Struct, frozen=True):
    """Equal jobs from `start` on, decided for so many states: successor i puts i // states of them
    on the PIM after state i % states. kept: the successors that went on."""

    start: int
    states: int
    kept: Ints | None = None


class _Jobs:
    """Jobs in order of pim / xpu, and the sums of the first 0, 1, ... of them."""

    def __init__(self, xpu: Floats, pim: Floats) -> None:
        self.xpu, self.pim = xpu, pim
        self.xpu_sums, self.pim_sums = (np.concatenate([[0.0], np.cumsum(s)]) for s in (xpu, pim))

    def equal(self) -> Iterator[tuple[int, int]]:
        """(first, end) of each run of equal jobs."""
        differs = (np.diff(self.xpu) != 0) | (np.diff(self.pim) != 0)
        ends = [0, *(np.flatnonzero(differs) + 1).tolist(), len(self.xpu)]
        return pairwise(ends) if len(self.xpu) else iter(())

    def relaxed(self, decided: int, xpu: Floats, pim: Floats) -> _Relaxed:
        """States that have decided the first so many jobs and spent (xpu, pim)."""
        xpu = xpu + self.xpu_sums[-1]
        pim = pim - self.pim_sums[decided]
        both = self.xpu_sums + self.pim_sums
        after = np.searchsorted(both, xpu - pim).clip(decided, len(self.xpu))
        before = np.maximum(after - 1, decided)
        late = np.maximum(xpu - self.xpu_sums[after], pim + self.pim_sums[after])
        ahead_xpu, ahead_pim = xpu - self.xpu_sums[before], pim + self.pim_sums[before]
        early = np.maximum(ahead_xpu, ahead_pim)
        both_s = both[after] - both[before]
        share = ((ahead_xpu - ahead_pim) / np.where(both_s > 0, both_s, 1.0)).clip(0.0, 1.0)
        bound = np.maximum(
            ahead_xpu - share * (self.xpu_sums[after] - self.xpu_sums[before]),
            ahead_pim + share * (self.pim_sums[after] - self.pim_sums[before]),
        )
        return _Relaxed(bound, np.where(early < late, before, after), np.minimum(early, late))

    def undecided(self, placed: Bools, best: float) -> Bools:
        """Jobs for which the side that the relaxation does not choose may still pay.

        Taking a job from one side moves the cut away from it, so that the sums of the others are
        those of all less the job's own. The divided job and its neighbour stay undecided.
        """
        sign = np.where(placed, 1.0, -1.0)
        other = self.relaxed(0, sign * self.xpu, -sign * self.pim)
        free = np.asarray(other.bound < best * (1 - TOLERANCE))
        cut = int(placed.sum())
        free[max(0, cut - 1) : cut + 1] = True
        return free


def _search(
    jobs: _Jobs, spent: tuple[float, float], best: float, width: int
) -> tuple[Bools | None, float]:
    """(on_pim `[jobs]` that beat `best`, or None; a lower bound) after `spent` on (xpu, pim)."""
    xpu, pim = (np.array([seconds]) for seconds in spent)
    grid, let_go = best * TOLERANCE, np.inf
    trail: list[_Step] = []
    better = None
    for start, stop in jobs.equal():
        step = _Step(start, len(xpu))
        moved = np.arange(stop - start + 1)[:, None]
        xpu = (xpu + (stop - start - moved) * jobs.xpu[start]).ravel()
        pim = (pim + moved * jobs.pim[start]).ravel()
        kept = _undominated(xpu, pim, grid)
        seen = jobs.relaxed(stop, xpu[kept], pim[kept])
        least = int(seen.makespan.argmin())
        if seen.makespan[least] < best:
            best = float(seen.makespan[least])
            better = _traced([*trail, step], int(kept[least]), len(jobs.xpu))
            better[stop : seen.cut[least]] = True
        worth = np.flatnonzero(seen.bound < best * (1 - TOLERANCE))
        if len(worth) > width:
            nearest = np.argpartition(seen.bound[worth], width)
            let_go = min(let_go, float(seen.bound[worth[nearest[width:]]].min()))
            worth = worth[nearest[:width]]
        if not len(worth):
            break
        trail.append(msgspec.structs.replace(step, kept=kept[worth]))
        xpu, pim = xpu[kept[worth]], pim[kept[worth]]
    return better, min(best, let_go)


def _undominated(xpu: Floats, pim: Floats, grid: float) -> Ints:
    """The states that no other beats in both sums, which count as equal within a cell of `grid`."""
    if not grid:
        return np.arange(len(xpu))
    rows, columns = np.floor(xpu / grid), np.floor(pim / grid)
    order = np.lexsort((columns, rows))
    lowest = np.minimum.accumulate(columns[order])
    kept = np.ones(len(order), np.bool_)
    kept[1:] = lowest[1:] < lowest[:-1]
    return order[kept]


def _traced(trail: list[_Step], state: int, jobs: int) -> Bools:
    """The jobs on the PIM that led to a successor of the last step; what it left open is not."""
    on_pim = np.zeros(jobs, np.bool_)
    for step in reversed(trail):
        state = state if step.kept is None else int(step.kept[state])
        moved, state = divmod(state, step.states)
        on_pim[step.start : step.start + moved] = True
    return on_pim
