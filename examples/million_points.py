"""A million roofline points: the most tokens per second that keep a step under 30 ms."""

import time

import numpy as np

from moesaic.hardware.load import system
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
