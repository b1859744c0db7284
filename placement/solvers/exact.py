"""Hops of small layers to proven optimality: a dynamic programme over all placements of a layer."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..placement import ROUNDING, HopCertificate
from ..problem import Problem
from .found import Found, as_map, demand_single, demand_transitions

MOST_STATES = 20_000
"""Placements of one layer: 8 experts on 4 ranks have 2,520, 10 on 5 have 113,400."""
MOST_CELLS = 2**24
"""Costs between two layers held at once: 128 MB."""

Ints = NDArray[np.int64]


def exact(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """The map with the cheapest hops that keeps the cap, proven by trying every chain.

    A state is a placement of one layer; cost-to-come over the layers is a shortest path. Ranks that
    are alike (same slots, same prices to all others) may be renamed all along the chain, so only
    one state of each such family is extended: 105 of the 2,520 on 4 equal ranks. Any prices, any
    slots, any cap. Raises BadInput for layers too large, and for a cap no placement keeps.
    """
    demand_single(problem, "exact")
    flow = demand_transitions(problem, "exact")
    states = _states(problem)
    family, turn = _families(problem, states)
    chosen = np.flatnonzero(turn[:, 0] < 0)
    live = _within_cap(problem, states)
    ranks, experts = problem.ranks, problem.experts
    here = np.eye(ranks)[states].reshape(len(states), -1)
    price = problem.hop_costs()
    cost = np.where(live[0], 0.0, np.inf)
    steps: list[Ints] = []
    for row, moved in enumerate(flow):
        # to[c, (e, g)]: what the chosen state c costs an expert e of this layer that lives on g.
        to = np.einsum("ef,cfr,gr->ceg", moved, here[chosen].reshape(-1, experts, ranks), price)
        best, step = _cheapest(cost, here, to.reshape(len(chosen), -1))
        best[~live[row + 1][chosen]] = np.inf
        steps.append(step)
        cost = best[family]
    homes = _trace_back(states, family, turn, steps, int(cost.argmin()))
    certificate = HopCertificate(bound=float(cost.min()), exhaustive=True, **problem.terms())
    return Found(as_map(problem, homes), hop_certificate=certificate)


def _cheapest(
    cost: NDArray[np.float64], here: NDArray[np.float64], to: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Ints]:
    """For each row of `to` the least of cost + here @ row, and where it is."""
    best, step = np.empty(len(to)), np.empty(len(to), np.int64)
    block = max(1, MOST_CELLS // len(here))
    for start in range(0, len(to), block):
        part = slice(start, start + block)
        total = here @ to[part].T
        total += cost[:, None]
        step[part] = total.argmin(axis=0)
        best[part] = total.min(axis=0)
    return best, step


def _states(problem: Problem) -> NDArray[np.int8]:
    """Every placement of one layer: `[states, experts]`, the rank of each expert."""
    left, count = problem.experts, 1
    for slots in problem.slots_per_rank.tolist():
        count *= math.comb(left, slots)
        left -= slots
    if count > MOST_STATES:
        raise BadInput(
            f"a layer of {problem.experts} experts on {problem.ranks} ranks has {count} "
            f"placements; exact tries up to {MOST_STATES}: use the method joint",
            key="method",
        )
    states = np.full((1, problem.experts), -1, np.int8)
    for rank, slots in enumerate(problem.slots_per_rank.tolist()):
        states = np.concatenate([_filled(homes, rank, slots) for homes in states])
    return states


def _filled(homes: NDArray[np.int8], rank: int, slots: int) -> NDArray[np.int8]:
    """`homes` with every choice of `slots` homeless experts on `rank`."""
    choices = list(itertools.combinations(np.flatnonzero(homes < 0).tolist(), slots))
    out = np.tile(homes, (len(choices), 1))
    out[np.arange(len(choices))[:, None], np.array(choices, np.int64).reshape(-1, slots)] = rank
    return out


def _families(problem: Problem, states: NDArray[np.int8]) -> tuple[Ints, NDArray[np.int64]]:
    """Which chosen state each state is a renaming of `[states]`, and the renaming.

    turn: `[states, ranks]`, with state = turn[chosen state]; a row of -1 marks the chosen.
    """
    turns = _renamings(problem)
    weight = problem.ranks ** np.arange(problem.experts, dtype=np.int64)
    keys = np.stack([turn[states] @ weight for turn in turns])
    least = keys.min(axis=0)
    number = {int(key): i for i, key in enumerate(keys[0])}
    chosen_of = np.array([number[int(key)] for key in least])
    back = np.argsort(turns[keys.argmin(axis=0)], axis=1)
    back[chosen_of == np.arange(len(states))] = -1
    place = np.cumsum(back[:, 0] < 0) - 1
    return place[chosen_of], back


def _renamings(problem: Problem) -> NDArray[np.int64]:
    """Permutations of ranks that change no slots and no price, the identity first."""
    price, slots = problem.hop_costs(), problem.slots_per_rank
    if math.factorial(problem.ranks) > MOST_STATES:
        return np.arange(problem.ranks)[None]
    return np.array(
        [
            turn
            for turn in itertools.permutations(range(problem.ranks))
            if (slots[list(turn)] == slots).all() and (price[np.ix_(turn, turn)] == price).all()
        ]
    )


def _within_cap(problem: Problem, states: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which states keep the cap in each layer: `[moe_layers, states]`."""
    onto = np.eye(problem.ranks)[states]
    out = np.empty((len(problem.layers), len(states)), bool)
    for row, loads in enumerate(problem.loads):
        busiest = np.einsum("ser,e->sr", onto, loads).max(axis=1) / problem.mean_loads[row]
        out[row] = busiest <= problem.caps[row] * (1 + ROUNDING)
        if not out[row].any():
            raise BadInput(
                f"no placement keeps layer {problem.layers[row]} within {problem.caps[row]:g} of "
                f"the mean: the least possible there is {busiest.min():.4f}",
                key="cap",
            )
    return out


def _trace_back(
    states: NDArray[np.int8],
    family: Ints,
    turn: NDArray[np.int64],
    steps: list[Ints],
    last: int,
) -> NDArray[np.int32]:
    """The homes `[moe_layers, experts]` of the cheapest chain that ends in the state `last`."""
    ranks = turn.shape[1]
    state, renamed, rows = last, np.arange(ranks), []
    for step in reversed([np.empty(0, np.int64), *steps]):
        rows.append(renamed[states[state]])
        if turn[state, 0] >= 0:
            renamed = renamed[turn[state]]
        if step.size:
            state = int(step[family[state]])
    return np.stack(rows[::-1]).astype(np.int32)
