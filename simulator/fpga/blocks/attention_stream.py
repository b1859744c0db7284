"""Streaming attention with reordered queries (Edge-MoE, attention reordering; UbiMoE's streaming
attention): programs of its two processes, and the block with sources and sinks.

`beats` is the row's width over the lanes: a process takes so many cycles for each key that streams
past its `queries` processing elements (PEs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import TypeAlias

from ..golden import AttentionStream
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends

Flags: TypeAlias = "tuple[bool, bool]"
"""Whether a PE starts a query in a step, and whether one meets its last key."""


def query_order(tokens: int, queries: int) -> Iterator[tuple[tuple[Flags, int], ...]]:
    """The steps by rounds of `tokens` keys, each as runs of equal flags.

    PE j takes its n-th query in step n * tokens + j and has met all keys tokens - 1 steps later:
    in a round all but the first queries + 1 steps and the last one are alike.
    """
    rounds, last = divmod(tokens - 1, queries)
    steps = tokens * (rounds + 1) + last

    def starts(step: int) -> bool:
        turn, place = divmod(step, tokens)
        return step >= 0 and place < queries and turn * queries + place < tokens

    for first in range(0, steps, tokens):
        end = min(first + tokens, steps)
        cuts = sorted({*range(first, min(first + queries + 1, end)), max(first, end - 1), end})
        flags = [(starts(step), starts(step - tokens + 1)) for step in cuts[:-1]]
        sizes = [b - a for a, b in pairwise(cuts)]
        alike = groupby(zip(flags, sizes, strict=True), key=lambda run: run[0])
        yield tuple((flag, sum(size for _, size in run)) for flag, run in alike)


def per_key(tokens: int, queries: int, step: Callable[[bool, bool], Program]) -> Program:
    """A program of what every step does, given whether a PE starts and whether one ends in it."""
    return tuple(
        Loop(
            len(list(rounds)),
            tuple(Loop(times, step(starts, ends)) for (starts, ends), times in runs),
        )
        for runs, rounds in groupby(query_order(tokens, queries))
    )


def qk_program(
    tokens: int, beats: int, queries: int, *, q: str, k: str, scores: str, row_max: str | None
) -> Program:
    """A key beat a cycle, and the query's where a PE starts; a key's last beat gives the scores of
    all PEs as one token, and the maximum of the row that it completes (None: nobody asks)."""

    def step(starts: bool, ends: bool) -> Program:
        reads = {k: 1} | ({q: 1} if starts else {})
        writes = {scores: 1} | ({row_max: 1} if ends and row_max else {})
        return Step(reads=reads, times=beats - 1), Step(reads=reads, writes=writes)

    return per_key(tokens, queries, step)


def av_program(
    tokens: int, beats: int, queries: int, *, v: str, scores: str, row_max: str, out: str
) -> Program:
    """A value beat a cycle; a value's first beat takes the scores, and the row's maximum where a
    PE starts; where one ends every beat gives one of the output."""

    def step(starts: bool, ends: bool) -> Program:
        first = {v: 1, scores: 1} | ({row_max: 1} if starts else {})
        writes = {out: 1} if ends else {}
        return (
            Step(reads=first, writes=writes),
            Step(reads={v: 1}, writes=writes, times=beats - 1),
        )

    return per_key(tokens, queries, step)


def attention_stream(block: AttentionStream, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it: int8 lanes, four a beat."""
    sizes = (block.tokens, block.beats, block.queries)
    bits = {"scores": 32 * block.queries}
    fifos = tuple(
        Fifo(name=name, depth=block.depths[name], bits=bits.get(name, 32)) for name in block.fifos
    )
    qk = qk_program(*sizes, q="q", k="k", scores="scores", row_max="row_max")
    av = av_program(*sizes, v="v", scores="scores", row_max="row_max", out="out")
    processes = (
        Process(name="qk", program=qk, latency=block.qk_latency),
        Process(name="av", program=av, latency=block.av_latency),
    )
    return with_ends(fifos, processes, block.sources, block.sinks, open_ or {})
