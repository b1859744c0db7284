"""What a placement is worth on other text than it was learnt from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...placement import Problem, score, solve
from ...workload import RoutingTrace
from .trials import halves

LEAST_TOKENS = 200
"""Tokens of a domain in each half, below which its scores would be noise."""


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """prices: name -> `[learnt, scored]` over domains; the diagonal is unseen text of the same
    domain, the last row was learnt from all domains together."""

    domains: tuple[str, ...]
    prices: dict[str, NDArray[np.float64]]


def drift(
    trace: RoutingTrace,
    pose: Callable[[RoutingTrace], Problem],
    method: str,
    *,
    time_limit_s: float = 5.0,
    seed: int = 0,
) -> Drift:
    """`method` learnt on one half of each domain and scored on the other half of every domain."""
    if trace.domain is None:
        raise BadInput("names no domains", key="trace")
    learn, fresh = halves(trace)
    assert learn.domain is not None
    assert fresh.domain is not None
    kept = [
        domain
        for domain in np.unique(trace.domain).tolist()
        if min((learn.domain == domain).sum(), (fresh.domain == domain).sum()) >= LEAST_TOKENS
    ]
    if len(kept) < 2:
        raise BadInput(f"holds fewer than two domains of {LEAST_TOKENS} tokens", key="trace")
    scored = [pose(fresh.select(fresh.domain == domain)) for domain in kept]
    taught = [pose(learn.select(learn.domain == domain)) for domain in kept]
    rows = [
        [score(solve(one, method, time_limit_s, seed).expert_map, other) for other in scored]
        for one in [*taught, pose(learn.select(np.isin(learn.domain, kept)))]
    ]
    names = trace.domain_names
    return Drift(
        domains=tuple(names[d] if 0 <= d < len(names) else f"domain {d}" for d in kept),
        prices={
            price: np.array([[cell[price] for cell in row] for row in rows])
            for price in ("imbalance_mean", "hops")
            if price in rows[0][0]
        },
    )
