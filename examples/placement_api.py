"""From a recorded trace to the file that SGLang loads with --init-expert-location."""

import sys
from pathlib import Path

from moesaic.placement import Problem, solve, verify
from moesaic.placement.formats import sglang
from moesaic.workload.readers.detect import load

trace = load(Path(__file__).parent / "data" / "tiny_mixtral_E16k2_seed0.npz")
problem = Problem.of(trace, ranks=4)
before, after = (solve(problem, method) for method in ("contiguous", "lpt-swaps"))
verify(problem, after)
for placement in (before, after):
    worst = placement.scores["imbalance_worst"]
    print(f"{placement.method}: worst layer's busiest rank at {worst:.3f} of the mean")
sglang.write(sys.argv[1] if len(sys.argv) > 1 else "map.json", after)
