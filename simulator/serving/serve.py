"""serve: requests through continuous batching, from event to event."""

from __future__ import annotations

import heapq
import math

import numpy as np

from ...workload import Requests
from .costs import StageCosts, checked
from .schedulers import Scheduler, shares_of
from .served import Ledger, Served
from .setting import Setting, setting


def serve(
    requests: Requests,
    costs: StageCosts,
    *,
    most_requests: int,
    kv_tokens: int | None = None,
    scheduler: str | Scheduler = "continuous",
    budget: int = 512,
    closed: bool = False,
    stationary: bool = False,
    seed: int = 0,
) -> Served:
    """Continuous batching: before each stage requests join in order of arrival while at most
    `most_requests` are in flight; in each stage every decoding request makes a token and prompts
    are computed as the scheduler says; the stage that ends a prompt makes its first token.

    kv_tokens: room of the cache; a request reserves its prompt and output when it joins, so none
    is ever put back (no preemption). budget: tokens of a stage, for schedulers that heed it.
    closed: no arrivals, a request that ends is replaced at once. stationary: the batch is met in
    the middle of its work (`seed` draws it), so no warm-up has to be left out. A scheduler decides
    by the decoding requests and the prompts' tokens left alone, which is why it is not asked again
    in a run of stages without an event; such a run is one call of `costs.decode`.
    """
    asked = setting(
        requests,
        most_requests=most_requests,
        kv_tokens=kv_tokens,
        scheduler=scheduler,
        budget=budget,
        closed=closed,
        stationary=stationary,
        seed=seed,
    )
    return _Walk(asked, costs).through()


class _Walk:
    """The batch on its way. All requests that decode advance together, so a heap of the stages in
    which they end, and one sum of what they have cached, replace a walk over them.

    next: the first request that has not joined; prefilling: request -> prompt tokens computed, in
    order; ends: (last stage, request) of the decoding ones, whose caches hold `cached` tokens.
    """

    def __init__(self, asked: Setting, costs: StageCosts) -> None:
        self.asked, self.costs = asked, costs
        self.ledger = Ledger(asked)
        self.now = 0.0
        self.next = self.cached = self.reserved = 0
        self.prefilling: dict[int, int] = {}
        self.ends: list[tuple[int, int]] = []
        self.pace_s = math.inf

    def through(self) -> Served:
        for made in self.asked.made.tolist():
            self._join(made)
        while self._gather():
            left = tuple(int(self.asked.prompt[i]) - done for i, done in self.prefilling.items())
            shares = shares_of(self.asked.scheduler, len(self.ends), left, self.asked.budget)
            if any(shares):
                self._mixed(shares)
            else:
                self._decode()
        return self.ledger.served()

    def _gather(self) -> bool:
        """Lets those join who may, waiting for the next arrival if nobody is in flight; False once
        all are served."""
        while True:
            while self._waiting() and self._room():
                self._join()
            if self.ends or self.prefilling:
                return True
            if self.next == self.asked.prompt.size:
                return False
            self.now = float(self.asked.arrival_s[self.next])

    def _room(self) -> bool:
        held = len(self.ends) + len(self.prefilling)
        return self.asked.fits(held, self.reserved, self.next)

    def _waiting(self) -> bool:
        """Whether a request has arrived and not joined."""
        asked, i = self.asked, self.next
        return i < asked.prompt.size and (asked.closed or asked.arrival_s[i] <= self.now)

    def _join(self, made: int = 0) -> None:
        request, self.next = self.next, self.next + 1
        prompt, output = int(self.asked.prompt[request]), int(self.asked.output[request])
        self.reserved += prompt + output
        if self.asked.closed:
            self.ledger.arrival_s[request] = self.now
        if made:
            self._begin(request, made)
            self.cached += prompt + made - 1
        else:
            self.prefilling[request] = 0

    def _begin(self, request: int, made: int) -> None:
        """The request makes its other tokens from the next stage on."""
        last = self.ledger.stages + int(self.asked.output[request]) - made - 1
        heapq.heappush(self.ends, (last, request))

    def _mixed(self, shares: tuple[int, ...]) -> None:
        """One stage with prompts in it."""
        work = [
            (request, now, done)
            for (request, done), now in zip(self.prefilling.items(), shares, strict=True)
            if now
        ]
        prompts = tuple((now, done) for _, now, done in work)
        decoding, full = len(self.ends), self._full()
        priced = checked(self.costs.mixed(decoding, self.cached, prompts), 1)
        begin, self.now = self.now, self.now + float(priced.seconds[0])
        ended = [r for r, now, done in work if now + done == self.asked.prompt[r]]
        self.ledger.add(
            priced.seconds,
            np.array([self.now]),
            priced.energy_j,
            (decoding, sum(shares), len(ended)),
            full,
        )
        self._retire(1)
        for request, now, done in work:
            if not done:
                self.ledger.start_s[request] = begin
            self.prefilling[request] = done + now
        for request in ended:
            self._first_token(request)

    def _first_token(self, request: int) -> None:
        del self.prefilling[request]
        self.ledger.first_token_s[request] = self.now
        if self.asked.output[request] == 1:
            self._leave(request)
        else:
            self._begin(request, 1)
            self.cached += int(self.asked.prompt[request])

    def _decode(self) -> None:
        """Stages without prompts until a request ends or one that could join arrives.

        Until an arrival only about as many stages are priced as there is time for."""
        stages = self.ends[0][0] - self.ledger.stages + 1
        wake = math.inf
        if self.next < self.asked.prompt.size and not self._waiting() and self._room():
            wake = float(self.asked.arrival_s[self.next])
            stages = min(stages, int((wake - self.now) / self.pace_s) + 2)
        decoding = len(self.ends)
        contexts = self.cached + decoding * np.arange(stages, dtype=np.int64)
        priced = checked(self.costs.decode(decoding, contexts), stages)
        times = np.cumsum(np.concatenate([[self.now], priced.seconds]))[1:]
        used = min(stages, int(np.searchsorted(times, wake)) + 1)
        self.ledger.add(
            priced.seconds[:used],
            times[:used],
            priced.energy_j[:used],
            (decoding, 0, 0),
            self._full(),
        )
        self.now, self.pace_s = float(times[used - 1]), float(priced.seconds[used - 1])
        self._retire(used)

    def _retire(self, stages: int) -> None:
        """The decoding requests have gone through `stages` more; those that are done leave."""
        self.cached += stages * len(self.ends)
        while self.ends and self.ends[0][0] < self.ledger.stages:
            _, request = heapq.heappop(self.ends)
            self.cached -= int(self.asked.prompt[request] + self.asked.output[request]) - 1
            self._leave(request)

    def _leave(self, request: int) -> None:
        self.ledger.finish_s[request] = self.now
        self.reserved -= int(self.asked.prompt[request] + self.asked.output[request])

    def _full(self) -> bool:
        held = len(self.ends) + len(self.prefilling)
        return held == self.asked.most_requests or self._waiting()
