"""Naming clusters along the layers: which cluster of each layer lives on which rank.

With the clusters fixed and every hop of one price, only the naming of a layer relative to the one
before matters, so a chain of layers falls apart into one assignment problem a pair, each exact.
That is MoETuner's second stage (arXiv 2502.06643) without an integer programme, for either of its
readings: the sum of all hops, or each layer's worst link.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...workload import ExpertMap
from ..objective import shares
from ..problem import Problem
from .found import Found, as_map
from .replicas import replicas
from .simple import lpt_homes, swapped

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SWEEPS = 50


def two_stage(problem: Problem, time_limit_s: float, seed: int) -> Found:
    """Balance first (LPT with swaps, or replicas where there are copies), then the best naming.

    The strong stand-in for MoETuner: the same two stages, each solved at least as well.
    """
    if problem.has_copies:
        return Found(named(replicas(problem, time_limit_s, seed).expert_map, problem))
    balanced = as_map(problem, swapped(problem, lpt_homes(problem)))
    return Found(named(balanced, problem))


def named(expert_map: ExpertMap, problem: Problem) -> ExpertMap:
    """The same clusters on the ranks that make hops cheapest; ranks trade whole clusters.

    Exact where hops cost the same everywhere. Where a hop to another node costs more, layers are
    named again in turn until none gains, each exactly for its neighbours.
    """
    if problem.transitions is None or len(problem.layers) < 2:
        return expert_map
    links = cluster_flows(expert_map, problem.transitions)
    names = names_by_sum(links, problem.slots_per_rank)
    if problem.nodes > 1 and problem.node_cost > 1:
        names = swept(links, names, problem)
    return renamed(expert_map, names, problem)


def cluster_flows(expert_map: ExpertMap, transitions: Floats) -> Floats:
    """Assignments that go from a rank's experts to another's, `[moe_layers - 1, ranks, ranks]`."""
    served = [shares(expert_map, row) for row in range(len(expert_map.layers))]
    pairs = zip(served, transitions, served[1:], strict=False)
    return np.array([here.T @ flow @ after for here, flow, after in pairs])


def names_by_sum(links: Floats, sizes: Ints) -> Ints:
    """The rank of each cluster, `[layers, ranks]`, that keeps most: one assignment a pair.

    sizes: `[ranks]`, slots; clusters only take names of ranks of their size. The first layer keeps
    its names.
    """
    return _chain(links, [_assigned(flow, sizes) for flow in links])


def names_by_worst_link(links: Floats, sizes: Ints) -> Ints:
    """The same for the sum over pairs of each pair's worst link between two ranks.

    derived: the link of (cluster, next cluster) costs nothing where both get one name. All links
    above a limit can get one only if no cluster has two of them (and sizes agree), so the least
    limit is the heaviest link that breaks this. Ties go to the naming that keeps most.
    """
    return _chain(links, [_assigned_by_worst(flow, sizes) for flow in links])


def worst_links(links: Floats, names: Ints, cost: Floats) -> Floats:
    """The dearest link of each pair of layers, `[pairs]`: flow times `cost [ranks, ranks]`."""
    priced = [
        flow * cost[here[:, None], after[None, :]]
        for flow, here, after in zip(links, names, names[1:], strict=False)
    ]
    return np.array([link.max() for link in priced])


def swept(links: Floats, names: Ints, problem: Problem) -> Ints:
    """Layers named again in turn, each the best answer to its neighbours, until none gains."""
    cost = problem.hop_costs()
    other = np.where(problem.slots_per_rank[:, None] == problem.slots_per_rank, 0.0, np.inf)
    names = names.copy()
    for _ in range(SWEEPS):
        before = names.copy()
        for row in range(len(names)):
            price = np.zeros_like(cost)
            if row > 0:
                price += links[row - 1].T @ cost[names[row - 1]]
            if row < len(links):
                price += links[row] @ cost[names[row + 1]]
            names[row] = _cheapest(price + other, names[row])
        if (names == before).all():
            break
    return names


def renamed(expert_map: ExpertMap, names: Ints, problem: Problem) -> ExpertMap:
    """Each layer's clusters on the ranks `names [layers, ranks]` gives them."""
    home = np.take_along_axis(names, np.tile(expert_map.ranks, (len(names), 1)), axis=1)
    return as_map(problem, home.astype(np.int32), expert_map.slots)


def _chain(links: Floats, steps: list[Ints]) -> Ints:
    ranks = links.shape[1]
    names = [np.arange(ranks)]
    for step in steps:
        after = np.empty(ranks, np.int64)
        after[step] = names[-1]
        names.append(after)
    return np.array(names)


def _assigned(flow: Floats, sizes: Ints) -> Ints:
    """The next cluster that shares a name with each cluster: most flow stays."""
    from scipy.optimize import linear_sum_assignment

    barred = np.where(sizes[:, None] == sizes, 0.0, -1.0 - 2 * flow.sum())
    return np.asarray(linear_sum_assignment(flow + barred, maximize=True)[1])


def _assigned_by_worst(flow: Floats, sizes: Ints) -> Ints:
    same = sizes[:, None] == sizes
    row_met, column_met = set[int](), set[int]()
    limit = 0.0
    for cell in np.argsort(-flow, axis=None, kind="stable").tolist():
        row, column = divmod(cell, len(flow))
        if row in row_met or column in column_met or not same[row, column]:
            limit = float(flow[row, column])
            break
        row_met.add(row)
        column_met.add(column)
    # What lies above the limit outweighs all that can be kept below it.
    must = np.where(flow > limit, 1.0 + flow.sum(), 0.0)
    return _assigned(flow + must, sizes)


def _cheapest(price: Floats, now: Ints) -> Ints:
    from scipy.optimize import linear_sum_assignment

    names = np.asarray(linear_sum_assignment(price)[1])
    rows = np.arange(len(now))
    gain = price[rows, now].sum() - price[rows, names].sum()
    return names if gain > 1e-9 * abs(price[rows, now].sum()) else now
