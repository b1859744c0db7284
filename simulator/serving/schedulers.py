"""Schedulers: how much of each prompt under way is computed in the next stage."""

from __future__ import annotations

from collections.abc import Callable

from ...base import BadInput, unknown

Scheduler = Callable[[int, tuple[int, ...], int], tuple[int, ...]]
"""(decoding requests, tokens left of each prompt in order of arrival, token budget of a stage) ->
tokens of each prompt computed now. Every decoding request makes a token in every stage."""


def whole_prompts(decoding: int, left: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """Every prompt at once, whatever the budget (Orca, OSDI'22; Duplex, arXiv 2409.01141)."""
    return left


def chunked_prompts(decoding: int, left: tuple[int, ...], budget: int) -> tuple[int, ...]:
    """What the decoding requests leave of the budget, to prompts in order of arrival
    (Sarathi-Serve, arXiv 2403.02310, algorithm 3)."""
    room = max(0, budget - decoding)
    shares = []
    for tokens in left:
        shares.append(min(tokens, room))
        room -= shares[-1]
    return tuple(shares)


SCHEDULERS: dict[str, Scheduler] = {"continuous": whole_prompts, "chunked": chunked_prompts}


def scheduler_of(name: str | Scheduler) -> Scheduler:
    """The scheduler of that name; a callable is its own."""
    if callable(name):
        return name
    if name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS, key="scheduler")
    return SCHEDULERS[name]


def shares_of(
    scheduler: Scheduler, decoding: int, left: tuple[int, ...], budget: int
) -> tuple[int, ...]:
    """What the scheduler answers, refused where no stage can be made of it."""
    shares = scheduler(decoding, left, budget)
    if len(shares) != len(left) or any(
        not 0 <= now <= tokens for now, tokens in zip(shares, left, strict=True)
    ):
        raise BadInput(f"gave {shares} of prompts with {left} tokens left", key="scheduler")
    if not decoding and not any(shares):
        raise BadInput("computes no token while prompts wait", key="scheduler")
    return shares
