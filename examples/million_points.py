"""A million roofline points: the most tokens per second that keep a step under 30 ms, and what
memory and arithmetic a machine needs for more."""

import time

import numpy as np

from moesaic.hardware.load import system
from moesaic.roofline.machines import Machines
from moesaic.roofline.points import points
from moesaic.roofline.setups import Setup
from moesaic.workload import Parallel
from moesaic.workload.load import model

LIMIT_S = 0.030
names = [(on, tp) for on in ("dgx-a100", "dgx-h100", "dgx-h200") for tp in (2, 4, 8)]
mixtral = model("mixtral-8x7b")
setups = [Setup(model=mixtral, system=system(on), parallel=Parallel(tp=tp)) for on, tp in names]
batch, context = np.arange(1, 2049), np.arange(0, 55 * 256, 256)
which, batches, contexts = (
    grid.ravel() for grid in np.meshgrid(np.arange(len(setups)), batch, context, indexing="ij")
)
points(setups, which[:1], batch=batches[:1], context=contexts[:1])  # compiles, once and for all
begin = time.perf_counter()
found = points(setups, which, batch=batches, context=contexts)
spent = time.perf_counter() - begin
print(f"{which.size} points in {spent:.2f} s")

allowed = (found.seconds <= LIMIT_S) & (found.spare_bytes >= 0) & (contexts >= 4096)
rate = np.where(allowed, batches / found.seconds, 0)
for k, (on, tp) in enumerate(names):
    if not (allowed & (which == k)).any():
        print(f"{on:9} tp {tp}: no batch fits in memory and in {LIMIT_S * 1e3:g} ms")
        continue
    best = np.where(which == k, rate, 0).argmax()
    print(
        f"{on:9} tp {tp}: {rate[best]:7.0f} token/s at batch {batches[best]}, "
        f"{found.seconds[best] * 1e3:.1f} ms, context {contexts[best]}"
    )

# Machines that do not exist: eight H100 with other memories, links and tensor peaks.
count, rng = 200_000, np.random.default_rng(0)
bandwidth, peak = rng.uniform(1e12, 1e13, count), rng.uniform(0.5e15, 4e15, count)
base = setups[names.index(("dgx-h100", 8))]
machines = Machines.of(
    base.system,
    {
        "device.memory.bandwidth_bytes_per_s": bandwidth,
        "device.peak_flops_per_s.bf16": peak,
        "tiers.node.link.bandwidth_bytes_per_s": rng.uniform(1e11, 1e12, count),
    },
)
drawn = rng.choice(batch, count)
other = points([base], np.zeros(count, int), batch=drawn, context=4096, machines=machines)
most = rate[which == names.index(("dgx-h100", 8))].max()
enough = (other.seconds <= LIMIT_S) & (other.spare_bytes >= 0)
enough &= drawn / other.seconds >= most
print(
    f"{enough.sum()} of {count} drawn machines serve as many; least memory "
    f"{bandwidth[enough].min() / 1e12:.2f} TB/s, least peak {peak[enough].min() / 1e15:.2f} PFLOP/s"
)
