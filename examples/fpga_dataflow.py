"""A dataflow graph of one's own: how deep must a FIFO be, and what does a shallower one cost?

A router deals rows to two experts, one of which gets three rows of four; a collector takes the
results in the order of the rows. Where the idle expert's FIFO is too shallow, both wait for ever.
"""

from moesaic.simulator.fpga.fifo import smallest_depths
from moesaic.simulator.fpga.graph import Fifo, Graph, Loop, Process, Step
from moesaic.simulator.fpga.run import simulate

ROUNDS, SLOW = 64, 5  # rows come in rounds of four; an expert takes five cycles a row


def expert(name: str, rows: int) -> Process:
    work = Step(reads={f"to {name}": 1}, writes={f"from {name}": 1}, interval=SLOW)
    return Process(name=name, program=(Loop(rows, (work,)),), latency=12)


many, few = {"to a": 1}, {"to b": 1}
router = (Loop(ROUNDS, (Step(writes=many, times=3), Step(writes=few))),)
# The collector wants b's row first, though it was dealt last.
collector = (Loop(ROUNDS, (Step(reads={"from b": 1}), Step(reads={"from a": 1}, times=3))),)
graph = Graph(
    fifos=tuple(
        Fifo(name=f"{way} {who}", depth=2, bits=512) for way in ("to", "from") for who in "ab"
    ),
    processes=(
        Process(name="router", program=router),
        expert("a", 3 * ROUNDS),
        expert("b", ROUNDS),
        Process(name="collector", program=collector),
    ),
)

run = simulate(graph)
print(f"depth 2: {run.cycles} cycles" if run.deadlock is None else f"depth 2: {run.deadlock}")
shallow = simulate(graph, depths={"to a": 1, "from a": 1})
print(f"depth 1: {shallow.deadlock or f'{shallow.cycles} cycles'}")
for what, words in (("safe", {"safe": True}), ("as fast as can be", {"safe": False})):
    found = smallest_depths(graph, **words)
    print(f"{what}: {found.depths}, {found.cycles} cycles; proven: {found.proven}")
fast = simulate(graph, depths=found.depths)
print({name: process.stalls for name, process in fast.processes.items()})
