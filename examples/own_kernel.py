"""A CUDA kernel of your own, without a GPU: built, executed, held against numpy, explained."""

from pathlib import Path

import msgspec
import numpy as np

from moesaic.kernels import Kernel, Launch, check, explain, target
from moesaic.kernels.library.kernel import Expected, Problem


def problem(config, size, seed):
    """The arguments in CUDA's order, and what must come out: here to the bit."""
    numbers = np.random.default_rng(seed).random((size, size), np.float32)
    wanted = Expected(value=numbers.T, bound=np.zeros(numbers.shape), values=np.asarray)
    nothing = np.full_like(numbers, np.nan)
    return Problem(
        shape=size,
        arguments={"in": numbers, "out": nothing, "size": np.int32(size)},
        expected={"out": wanted},
    )


def start(config, size):
    """A block of 8 warps for each tile; no size stands for one block."""
    tiles = (size or 32) // 32
    return Launch(grid=(tiles, tiles, 1), threads=256, shared_bytes=0)


transpose = Kernel(
    name="transpose",
    does="the transpose of a square matrix",
    source=str(Path(__file__).with_name("own_kernel.cu")),
    entry="transpose",
    headers=(),
    parameters={"PAD": (0, 1)},
    constraints=(),
    configs={"plain": {"PAD": 0}, "padded": {"PAD": 1}},
    start=start,
    sizes=lambda size: {"size": size},
    shapes={"128": 128, "32": 32},
    problem=problem,
)

for name in transpose.configs:
    one = target(transpose, name, "sm_90a")
    found = explain(one)
    print(
        f"{name}: {check(one).verdict}, {found.build.resources.registers} registers, "
        f"occupancy {found.verdict.occupancy:.0%}, {found.counters.shared_conflicts} bank "
        f"conflicts in {found.counters.shared_wavefronts} wavefronts (simulated)"
    )

# The same source without its barrier is seen, though most runs on a GPU might get away with it.
spoilt = msgspec.structs.replace(transpose, changes={transpose.source: ("__syncthreads();", "")})
verdict = check(target(spoilt, "padded", "sm_90a"))
print(f"without its barrier: {verdict.verdict}, {verdict.reason}")
