"""A row of a design space, served: requests through continuous batching, met in their midst."""

from __future__ import annotations

import math

from ...base import BadInput
from ...simulator.serving import serve
from ...simulator.serving.details import costs_of
from ...simulator.serving.estimated import cache_room
from ...simulator.serving.metrics import metrics
from ...workload.requests import drawn
from .rows import Answer, Row

REQUESTS = 200
"""Requests served: a closed loop met in the middle of its work needs no warm-up."""
SPREAD = 0.2
"""Of both lengths: standard deviation over mean, as `serve run` has it."""
LEAST_BUDGET = 512


def served(row: Row, detail: str, seed: int) -> Answer:
    """A row whose `batch` is kept full: mean gap between tokens, median time to first token, tokens
    a second, and joules a token where they are known. detail: of a stage. Raises BadInput for what
    cannot be served."""
    model, system, parallel, experts = row.setup
    if experts.chance is not None:
        raise BadInput("is not served: requests are served under uniform routing", key="routing")
    batch = row.word("batch")
    requests = drawn(
        REQUESTS,
        prompt_mean=row.word("prompt"),
        output_mean=row.word("output"),
        spread=SPREAD,
        rate_per_s=math.inf,
        seed=seed,
        shape="gaussian",
    )
    units = row.word("units") if detail == "cycle" else ""
    costs = costs_of(detail, model, system, parallel, units=units, seed=seed)
    found = metrics(
        serve(
            requests,
            costs,
            most_requests=batch,
            kv_tokens=cache_room(model, system, parallel, requests, batch),
            scheduler=row.word("scheduler"),
            budget=max(LEAST_BUDGET, 2 * batch),
            closed=True,
            stationary=True,
            seed=seed,
        )
    )
    if found.tbt_s is None:
        raise BadInput("makes no second token, so there is no gap to tell", key="output")
    return Answer(
        "served",
        found.tbt_s.mean,
        ttft_s=found.ttft_s.p50,
        throughput_tokens_per_s=found.tokens_per_s,
        energy_j_per_token=found.energy_j_per_token,
    )
