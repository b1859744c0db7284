"""Explain: what a configuration needs, what fills an SM, and what it does to a small problem."""

from __future__ import annotations

import re
from math import prod

import msgspec

from ...base import BadInput
from .arches import arch
from .build import Build, build
from .execute import SECTOR_BYTES, Counters, Line, execute
from .gate import Verdict, gate, resident_blocks
from .targets import Target


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Global memory in bytes. asked: by all threads. moved: the 32-byte sectors that warps touched,
    before any cache. least: each sector that the launch touched, once."""

    asked: int
    moved: int
    least: int


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Three kinds of facts. compiled: the compiler's report. bound: from the limits of the
    architecture. simulated: counted while executing the shape on the CPU.

    useful: the part of the multiply-adds of all mma.sync that the problem asks for, the rest being
    padding; None without mma.
    """

    kernel: str
    config: str
    arch: str
    shape: str
    build: Build
    verdict: Verdict
    resident: dict[str, int]
    counters: Counters
    loads: Traffic
    stores: Traffic
    useful: float | None

    def busiest(self, most: int = 12) -> list[Line]:
        """The lines of the source that touch memory, those with the most sectors and wavefronts
        first."""
        lines = [one for one in self.counters.lines if one.sectors or one.wavefronts]
        return sorted(lines, key=lambda one: -(one.sectors + one.wavefronts))[:most]


def explain(target: Target, seed: int = 0) -> Explained:
    """Builds the target and executes it on the first of its shapes. Raises BadInput where it does
    not compile, is not known to the executor, or serves no shape."""
    if not target.shapes:
        raise BadInput("serves none of the kernel's shapes", key=str(target))
    made = build(target.kernel, target.config, target.arch)
    name = target.shapes[0]
    shape = target.kernel.shapes[name]
    problem = target.kernel.problem(target.config, shape, seed)
    launch = target.kernel.launch(target.config, shape)
    counters = execute(made, launch, problem.arguments, seed=seed).counters
    done = multiply_adds(counters)
    return Explained(
        kernel=target.kernel.name,
        config=target.name,
        arch=target.arch,
        shape=name,
        build=made,
        verdict=gate(made),
        resident=resident_blocks(made, arch(target.arch)),
        counters=counters,
        loads=Traffic(
            asked=counters.global_load_bytes,
            moved=counters.global_load_sectors * SECTOR_BYTES,
            least=sum(counters.read_bytes.values()),
        ),
        stores=Traffic(
            asked=counters.global_store_bytes,
            moved=counters.global_store_sectors * SECTOR_BYTES,
            least=sum(counters.written_bytes.values()),
        ),
        useful=problem.multiply_adds / done if done else None,
    )


def multiply_adds(counters: Counters) -> int:
    """Of all mma.sync, by the shape in their names: m16n8k16 has 2048."""
    total = 0
    for name, times in counters.multiplies.items():
        found = re.search(r"m(\d+)n(\d+)k(\d+)", name)
        total += times * prod(map(int, found.groups())) if found else 0
    return total
