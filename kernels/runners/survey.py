"""A survey: the same configurations measured on many parts, each compiled and profiled once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial

import msgspec

from ...base import BadInput
from ..compiled.build import build
from ..compiled.compiler import NoCompiler
from ..compiled.parallel import in_threads
from ..compiled.profile import Profile, profile
from ..library import Config, Kernel
from ..library.part import Part
from ..prediction.predicted_part import free_space
from ..prediction.surveys import Measured
from ..search.runner import Runner
from ..search.space import Space
from .gpu import local_gpu
from .gpu_part import GpuRunner
from .isolated import Isolated

LIMIT_S = 30.0
WARPS = range(4, 9)
SUMS = range(8, 129)
"""Of a thread. Fewer warps or sums leave the tensor cores idle, more do not fit the registers."""


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration compiled: all its macros, its cubin, and what a block of it does."""

    config: dict[str, int]
    cubin_hash: str
    profile: Profile


def sample(kernel: Kernel, fixed: Config, architecture: str, count: int, seed: int) -> Space:
    """Configurations worth measuring, `count` of them by chance; all where there are fewer."""
    whole = free_space(kernel, fixed, architecture, {})
    worth = []
    for row in range(len(whole)):
        config = whole.config(row)
        warps = config["WARPS_M"] * config["WARPS_N"]
        sums = config["BM"] * config["BN"] * (1 + fixed["FUSE_SWIGLU"]) // (32 * warps)
        if warps in WARPS and sums in SUMS:
            worth.append(config)
    random.Random(seed).shuffle(worth)
    return Space.of(kernel.name, worth[:count])


def survey(
    parts: Sequence[Part],
    space: Space,
    deadline_s: float,
    runner: Callable[[Part, Space], Runner] = GpuRunner,
) -> Generator[Measured, None, None]:
    """What was measured, part by part in the order given; what does not compile is left out.

    parts: of one kernel and one product. The first is measured while the processors still compile.
    After `deadline_s` nothing more is begun.
    """
    end = time.monotonic() + deadline_s
    arch = local_gpu().arch
    first, built = parts[0], dict[int, Built]()
    whole = [{**space.config(row), **first.fixed} for row in range(len(space))]
    made = in_threads(partial(_built, first.kernel, arch), whole)
    for part in parts:
        with Isolated(partial(runner, part, space), LIMIT_S) as measure:
            for row in range(len(space)):
                if time.monotonic() > end:
                    return
                if part is first and isinstance(one := next(made), Built):
                    built[row] = one
                if row in built and not part.kernel.refusals(built[row].config, part.shape):
                    yield Measured(
                        part=part, trial=measure(row), **msgspec.structs.asdict(built[row])
                    )


def _built(kernel: Kernel, arch: str, config: Config) -> Built | BadInput:
    try:
        made = build(kernel, config, arch)
        counted = profile(kernel, made)
    except NoCompiler:
        raise
    except BadInput as fault:
        return fault
    return Built(config=made.config, cubin_hash=made.cubin_hash, profile=counted)
