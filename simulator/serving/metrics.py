"""What users and owners of a server ask: throughput, waiting, gaps, energy."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from .served import Served

Floats = NDArray[np.float64]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and percentiles: the least value that so many percent of the weight do not exceed."""

    mean: float
    p50: float
    p90: float
    p99: float


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """tokens_per_s, tbt_s, batch, mixed_share and energy are those of the steady stages, the rest
    those of all requests asked for.

    ttft_s: time to first token (T2FT), from arrival; queueing_s: from arrival to the first stage
    that computes the prompt; e2e_s: from arrival to the last token; tbt_s: every gap between two
    tokens of a request (None where no request makes two). batch: requests that make a token, mean
    over stages; mixed_share: of the time spent in stages with prompts. energy_j_per_token: None
    where unknown.
    """

    tokens_per_s: float
    requests_per_s: float
    ttft_s: Spread
    tbt_s: Spread | None
    e2e_s: Spread
    queueing_s: Spread
    batch: float
    mixed_share: float
    energy_j_per_token: float | None


def metrics(served: Served) -> Metrics:
    """The numbers of a run."""
    steady = served.steady
    seconds, tokens = served.stage_s[steady], served.tokens[steady]
    gaps = served.decoding[steady]
    begin = served.stage_end_s[0] - served.stage_s[0]
    span = float(served.stage_end_s[steady][-1] - begin)
    per_s = float(tokens.sum()) / span
    joules = float(served.energy_j[steady].sum())
    one = np.ones(served.arrival_s.size)
    return Metrics(
        tokens_per_s=per_s,
        requests_per_s=per_s / float(served.output_tokens.mean()),
        ttft_s=spread(served.first_token_s - served.arrival_s, one),
        tbt_s=spread(seconds, gaps) if gaps.any() else None,
        e2e_s=spread(served.finish_s - served.arrival_s, one),
        queueing_s=spread(served.start_s - served.arrival_s, one),
        batch=float(tokens.mean()),
        mixed_share=float(seconds[served.mixed[steady]].sum() / seconds.sum()),
        energy_j_per_token=None if np.isnan(joules) else joules / float(tokens.sum()),
    )


def spread(values: Floats, weights: Floats | NDArray[np.int64]) -> Spread:
    """Of values that count `weights` times each; some weight must be positive."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(np.asarray(weights, np.float64)[order])
    places = np.searchsorted(below, below[-1] * np.array([0.50, 0.90, 0.99]))
    p50, p90, p99 = values[order][places].tolist()
    return Spread(mean=float(np.average(values, weights=weights)), p50=p50, p90=p90, p99=p99)
