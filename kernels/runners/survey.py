"""A survey: the same configurations measured on many parts, each compiled and profiled once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from ...base import BadInput
from ..compiled.build import Build, build
from ..compiled.parallel import in_threads
from ..compiled.profile import Profile, profile
from ..library import Config, Kernel
from ..library.part import Part
from ..search.space import Space
from .gpu import local_gpu
from .gpu_part import GpuRunner
from .isolated import Isolated
from .runner import Runner, Trial

LIMIT_S = 30.0


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration compiled: its cubin, and what a block of it does."""

    config: dict[str, int]
    cubin_hash: str
    compiler: str
    profile: Profile


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration measured on a part."""

    part: str
    trial: Trial


def survey(
    parts: Sequence[Part],
    configs: Sequence[Config],
    deadline_s: float,
    runner: Callable[[Part, Space], Runner] = GpuRunner,
) -> Iterator[Built | Seen]:
    """What was built, then what was measured, part by part in the order given.

    configs: of the first part's kernel, the macros that the work fixes left out. The first part is
    measured while the processors still compile. After `deadline_s` no more is begun.
    """
    end = time.monotonic() + deadline_s
    arch = local_gpu().arch
    space = Space.of(parts[0].kernel.name, configs)
    kernel, fixed = parts[0].kernel, parts[0].fixed
    rows: list[int] = []
    made = in_threads(partial(_built, kernel, arch, fixed), list(space_configs(space)))
    with Isolated(partial(runner, parts[0], space), LIMIT_S) as measure:
        for row, one in enumerate(made):
            if isinstance(one, Built):
                yield one
                rows.append(row)
                if _serves(parts[0], one):
                    yield Seen(part=parts[0].name, trial=measure(row))
            if time.monotonic() > end:
                return
    for part in parts[1:]:
        with Isolated(partial(runner, part, space), LIMIT_S) as measure:
            for row in rows:
                if not part.kernel.refusals({**space.config(row), **fixed}, part.shape):
                    yield Seen(part=part.name, trial=measure(row))
                if time.monotonic() > end:
                    return


def space_configs(space: Space) -> Iterator[dict[str, Any]]:
    return (space.config(row) for row in range(len(space)))


def _built(kernel: Kernel, arch: str, fixed: Config, config: Config) -> Built | BadInput:
    try:
        made: Build = build(kernel, {**config, **fixed}, arch)
        counted = profile(kernel, made)
    except BadInput as fault:
        return fault
    return Built(
        config=dict(config), cubin_hash=made.cubin_hash, compiler=made.compiler, profile=counted
    )


def _serves(part: Part, one: Built) -> bool:
    return not part.kernel.refusals({**one.config, **part.fixed}, part.shape)
