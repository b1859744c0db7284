"""From a recorded trace to the file that SGLang loads with --init-expert-location."""

import sys
from pathlib import Path

from moesaic.placement import Problem, formats, score, solve, verify
from moesaic.sweeps.placements import halves
from moesaic.workload.readers.detect import load

trace = load(Path(__file__).parent / "data" / "tiny_mixtral_E16k2_seed0.npz")
learn, unseen = (Problem.of(half, ranks=4, cap=1.1) for half in halves(trace))
placement = solve(learn, "joint", time_limit_s=1.0, bound_s=1.0)
verify(learn, placement)
print(f"hops {placement.hops.gap:.1%} above what no placement can beat")
print(f"on unseen requests: {score(placement.expert_map, unseen)}")
formats.write(sys.argv[1] if len(sys.argv) > 1 else "map.json", placement)
