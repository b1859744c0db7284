"""The gate of an MoE layer and the router behind it: programs of both, and the block with sources
and sinks. Where a token's choices go is data: the router's program is written from them."""

from __future__ import annotations

from collections.abc import Iterable

from ..golden import GateTopk, Streams
from ..golden.gate_topk import EXPERTS
from ..graph import Fifo, Graph, Loop, Process, Program, Step
from .ends import Open, with_ends
from .linear import runs


def gate_program(
    tokens: int, beats: int, experts: int, top_k: int, interval: int, *, x: str, routes: str
) -> Program:
    """Token by token: its row, a beat a cycle; the softmax's sum, an expert every `interval`
    cycles; its choices, one a cycle (UbiMoE's gate: the phases do not overlap)."""
    token = (
        Step(reads={x: 1}, times=beats),
        Step(interval=interval, times=experts),
        Step(writes={routes: 1}, times=top_k),
    )
    return (Loop(tokens, token),)


def route_program(queues: Iterable[str], *, routes: str) -> Program:
    """Sends each choice to its expert's queue, one a cycle, in order."""
    return runs(Step(reads={routes: 1}, writes={queue: 1}) for queue in queues)


def gate_topk(block: GateTopk, inputs: Streams, open_: Open | None = None) -> Graph:
    """The block as its Verilog has it; only the queues that get anything."""
    experts, _ = block.chosen(inputs)
    names = [block.sinks[expert] for expert in experts.flat]
    keep = (Step(reads={"w": 1}, times=EXPERTS * block.beats),)
    sizes = (block.tokens, block.beats, EXPERTS, block.top_k, block.interval)
    gate = gate_program(*sizes, x="x", routes="routes")
    processes = (
        Process(name="gate", program=keep + gate, latency=block.gate_latency),
        Process(
            name="router",
            program=route_program(names, routes="routes"),
            latency=block.route_latency,
        ),
    )
    sinks = sorted(set(names))
    fifos = (
        *(Fifo(name=name, depth=block.depths[name]) for name in ("w", "x")),
        Fifo(name="routes", depth=block.depths["routes"], bits=48),
        *(Fifo(name=name, depth=block.depths["queue"]) for name in sinks),
    )
    return with_ends(fifos, processes, block.sources, sinks, open_ or {})
