"""Setting: who is served, and under which limits; checked once for the fast and the plain walk."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...workload import Requests
from .schedulers import Scheduler, scheduler_of


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in order, the first `met` of which stand before those that were asked for.

    arrival_s, prompt, output: `[requests]`. made: `[met]`, tokens that each of the first ones has
    made when time starts. closed: nobody waits for an arrival. kv_tokens: room for prompts and
    outputs of all requests in flight together.
    """

    arrival_s: NDArray[np.float64]
    prompt: NDArray[np.int64]
    output: NDArray[np.int64]
    made: NDArray[np.int64]
    most_requests: int
    kv_tokens: int | None
    scheduler: Scheduler
    budget: int
    closed: bool

    @property
    def met(self) -> int:
        return int(self.made.size)

    def fits(self, held: int, reserved: int, request: int) -> bool:
        """Whether the request may join `held` ones that have reserved so many cached tokens."""
        size = int(self.prompt[request] + self.output[request])
        roomy = self.kv_tokens is None or reserved + size <= self.kv_tokens
        return held < self.most_requests and roomy


def setting(
    requests: Requests,
    *,
    most_requests: int,
    kv_tokens: int | None = None,
    scheduler: str | Scheduler = "continuous",
    budget: int = 512,
    closed: bool = False,
    stationary: bool = False,
    seed: int = 0,
) -> Setting:
    """The words of `serve`, checked, with the requests that a stationary start meets."""
    for key, value in (("most_requests", most_requests), ("budget", budget)):
        if value < 1:
            raise BadInput("must be at least 1", key=key, value=value)
    if stationary and not closed:
        raise BadInput("needs a closed loop: an open one starts empty", key="stationary")
    sizes = requests.prompt_tokens + requests.output_tokens
    longest = int(sizes.argmax())
    if kv_tokens is not None and sizes[longest] > kv_tokens:
        raise BadInput(
            f"request {longest} needs {sizes[longest]} cached tokens and can never be served: "
            f"{sizes[longest] - kv_tokens} more than there is room for",
            key="kv_tokens",
            value=kv_tokens,
        )
    index, made = _met(requests, most_requests if stationary else 0, kv_tokens, seed)
    arrival = np.zeros(requests.count) if closed else requests.arrival_s
    return Setting(
        arrival_s=np.concatenate([np.zeros(index.size), arrival]),
        prompt=np.concatenate([requests.prompt_tokens[index], requests.prompt_tokens]),
        output=np.concatenate([requests.output_tokens[index], requests.output_tokens]),
        made=made,
        most_requests=most_requests,
        kv_tokens=kv_tokens,
        scheduler=scheduler_of(scheduler),
        budget=budget,
        closed=closed,
    )


def _met(
    requests: Requests, most: int, kv_tokens: int | None, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which requests are met in flight, and the tokens that each has made: `[met]` both.

    derived: a place of the batch holds one request after another, each for as many stages as it
    makes tokens. Met in a random stage, it holds a request in proportion to those stages (the
    inspection paradox of renewal theory), and each of its stages is as likely as any other.
    """
    rng = np.random.default_rng(seed)
    output = requests.output_tokens
    index = rng.choice(requests.count, size=most, p=output / output.sum())
    made = np.floor(rng.random(most) * output[index]).astype(np.int64)
    if kv_tokens is not None:
        reserved = np.cumsum(requests.prompt_tokens[index] + output[index])
        fitting = int((reserved <= kv_tokens).sum())
        index, made = index[:fitting], made[:fitting]
    return index, made
