"""The plain twin of `serve`: one stage at a time, one request at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .costs import StageCosts, checked
from .schedulers import shares_of
from .served import Ledger, Served
from .setting import Setting


@dataclass
class _Request:
    """A request in flight: prompt tokens computed, and tokens made."""

    number: int
    prompt: int
    output: int
    computed: int = 0
    made: int = 0

    @property
    def size(self) -> int:
        return self.prompt + self.output

    @property
    def cached(self) -> int:
        """The last token made is not cached before it is read."""
        return self.computed + max(0, self.made - 1)


def serve_plain(asked: Setting, costs: StageCosts) -> Served:
    """What `serve` answers, by definition."""
    ledger, batch = Ledger(asked), list[_Request]()
    now, count, joined = 0.0, asked.prompt.size, 0
    while joined < count or batch:
        while joined < count and (
            joined < asked.met or asked.closed or asked.arrival_s[joined] <= now
        ):
            if not asked.fits(len(batch), sum(r.size for r in batch), joined):
                break
            batch.append(_joining(asked, joined))
            if asked.closed:
                ledger.arrival_s[joined] = now
            joined += 1
        if not batch:
            now = float(asked.arrival_s[joined])
            continue
        waits = joined < count and (asked.closed or asked.arrival_s[joined] <= now)
        now = _stage(asked, costs, ledger, batch, now, waits or len(batch) == asked.most_requests)
        batch = [r for r in batch if r.made < r.output]
    return ledger.served()


def _joining(asked: Setting, number: int) -> _Request:
    request = _Request(number, int(asked.prompt[number]), int(asked.output[number]))
    if number < asked.met and asked.made[number]:
        request.computed, request.made = request.prompt, int(asked.made[number])
    return request


def _stage(
    asked: Setting,
    costs: StageCosts,
    ledger: Ledger,
    batch: list[_Request],
    now: float,
    full: bool,
) -> float:
    """Runs the next stage of the batch; the moment at which it ends."""
    decoding = [r for r in batch if r.computed == r.prompt]
    filling = [r for r in batch if r.computed < r.prompt]
    left = tuple(r.prompt - r.computed for r in filling)
    shares = shares_of(asked.scheduler, len(decoding), left, asked.budget)
    prompts = tuple((share, r.computed) for r, share in zip(filling, shares, strict=True) if share)
    context = sum(r.cached for r in decoding)
    if prompts:
        priced = checked(costs.mixed(len(decoding), context, prompts), 1)
    else:
        priced = checked(costs.decode(len(decoding), np.array([context])), 1)
    end = now + float(priced.seconds[0])
    for request, share in zip(filling, shares, strict=True):
        if share and not request.computed:
            ledger.start_s[request.number] = now
        request.computed += share
    first = [r for r in filling if r.computed == r.prompt]
    for request in decoding + first:
        request.made += 1
        if request.made == 1:
            ledger.first_token_s[request.number] = end
        if request.made == request.output:
            ledger.finish_s[request.number] = end
    counts = len(decoding), sum(shares), len(first)
    ledger.add(priced.seconds, np.array([end]), priced.energy_j, counts, full)
    return end
