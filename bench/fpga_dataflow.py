"""The dataflow engine on one core: steps per second beside the referee that ticks through every
cycle, and beside what it must reach.

The referee runs a shorter chain of the same kind: its rate does not depend on the length. The image
is a whole one, all layers, with its memory's bursts, whose beats are not counted as steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from moesaic.hardware import Fpga
from moesaic.hardware.load import device
from moesaic.simulator.fpga import design
from moesaic.simulator.fpga.accelerators import accelerator
from moesaic.simulator.fpga.flat import flatten
from moesaic.simulator.fpga.graph import Fifo, Graph, Process, Step
from moesaic.simulator.fpga.plain import plain
from moesaic.simulator.fpga.run import say
from moesaic.workload.load import model

MUST = 30e6
"""Steps per second on one core."""
PROCESSES, STEPS, FEW, RUNS = 8, 1_000_000, 2_000, 3


def main() -> list[dict[str, object]]:
    rows = []
    for depth in (2, 64):
        rate, name = _rate(_chain(depth, STEPS)), f"chain of {PROCESSES}, FIFOs of depth {depth}"
        begin = time.process_time()
        steps = plain(_chain(depth, FEW)).steps
        ticked = steps / (time.process_time() - begin)
        rows += [_row(name, rate, "must reach", MUST), _row(name, rate, "every cycle", ticked)]
    board = device("zcu102")
    assert isinstance(board, Fpga)
    for name in ("ubimoe", "edge-moe"):
        graph = accelerator(design(name), model("m3vit-tiny"), 197, board)
        rows.append(_row(f"{name}, an image of 197 tokens", _rate(graph), "must reach", MUST))
    return rows


def _chain(depth: int, steps: int) -> Graph:
    """Processes in a row that hand on one token a cycle, with a latency of 3."""

    def process(i: int) -> Process:
        reads = {f"f{i}": 1} if i else {}
        writes = {f"f{i + 1}": 1} if i < PROCESSES - 1 else {}
        step = Step(reads=reads, writes=writes, times=steps)
        return Process(name=f"p{i}", program=(step,), latency=3)

    return Graph(
        fifos=tuple(Fifo(name=f"f{i}", depth=depth) for i in range(1, PROCESSES)),
        processes=tuple(process(i) for i in range(PROCESSES)),
    )


def _rate(graph: Graph) -> float:
    """Steps per CPU second, the best of some runs."""
    flat = flatten(graph)
    steps = sum(row[0] for row in say(flat, {}).processes)
    return steps / min(_seconds(lambda: say(flat, {})) for _ in range(RUNS))


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _row(name: str, value: float, peer: str, peer_value: float) -> dict[str, object]:
    return {
        "name": name,
        "value": value,
        "unit": "steps/s",
        "peer": peer,
        "peer_value": peer_value,
        "ratio": value / peer_value,
    }
