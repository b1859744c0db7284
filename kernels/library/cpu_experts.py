"""The experts of a layer on a CPU in single precision: the space, its rules, its default."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ...base import BadInput
from ...hardware.device import Cpu
from .kernel import Config, Constraint

NAME = "experts-cpu"
MOST_BYTES = 2 * 2**30

BUILT: dict[str, tuple[int, ...]] = {
    "VECTOR": (4, 8, 16),
    "LAYOUT": (0, 1),
    "MR": (1, 2, 4, 6, 8),
    "NR": (1, 2, 4),
    "UNROLL": (1, 4),
    "FUSE": (0, 1),
    "PREFETCH": (0, 32),
}
"""Macros of the build (kernels/cpu). VECTOR: floats of a vector. LAYOUT: 0 weights as models ship
them, 1 in panels. MR, NR: rows and columns, or vectors of columns, of the register tile. UNROLL:
steps of the depth at a time. FUSE: gate and up in one tile. PREFETCH: cache lines ahead, 0 none."""

WHOLE = 16384
"""A stretch that no depth is longer than."""

GIVEN: dict[str, tuple[int, ...]] = {"KC": (256, WHOLE)}
"""Given to the run. KC: depth of a stretch, or WHOLE. THREADS, from one to all cores, comes with
the machine."""

NC = 64
"""Columns of a task: few enough that its weights fit the second cache, and whole tiles of any
width."""

CONSTRAINTS = (
    Constraint("VECTOR == LANES", "a vector is one register of this CPU"),
    Constraint(
        "(MR + 1) * NR * (1 + FUSE) + 1 <= REGISTERS",
        "the sums, the weights of a step and an input fit the registers",
    ),
    Constraint("hidden % NC == 0 and inter % NC == 0", "columns are shared out without a rest"),
    Constraint("KC >= hidden or hidden % KC == 0", "stretches of the hidden size have no rest"),
    Constraint("KC >= inter or inter % KC == 0", "stretches of the width have no rest"),
    Constraint(
        "hidden % (UNROLL * VECTOR) == 0 and inter % (UNROLL * VECTOR) == 0",
        "the depth is read in whole steps",
    ),
    Constraint(f"KC < {WHOLE} or hidden > 256 or inter > 256", "else 256 is the whole already"),
)


class CpuShape(msgspec.Struct, frozen=True):
    """A layer as measured.cpu_layer has it: `experts` of width `inter` on a stream of width
    `hidden`, `top_k` of them for each of `tokens`."""

    hidden: int
    inter: int
    experts: int
    top_k: int
    tokens: int

    def __post_init__(self) -> None:
        if min(msgspec.structs.astuple(self)) < 1 or self.top_k > self.experts:
            raise BadInput("needs sizes of at least 1 and top_k of at most experts", value=self)
        if max(self.hidden, self.inter) > WHOLE:
            raise BadInput(f"has sizes above {WHOLE}", value=self)
        if self.expert_bytes * self.experts > MOST_BYTES:
            raise BadInput(f"its weights would take more than {MOST_BYTES} bytes", value=self)
        if 4 * self.rows * max(self.hidden, self.inter) > MOST_BYTES:
            raise BadInput(f"its rows would take more than {MOST_BYTES} bytes", value=self)

    @property
    def rows(self) -> int:
        return self.tokens * self.top_k

    @property
    def expert_bytes(self) -> int:
        """The weights of one expert."""
        return 4 * 3 * self.hidden * self.inter

    @property
    def flops(self) -> float:
        return 2.0 * self.rows * 3 * self.hidden * self.inter


class VectorUnit(NamedTuple):
    """Floats of a register, and how many registers there are."""

    lanes: int
    registers: int


def vector_unit(cpu: Cpu) -> VectorUnit:
    """By its instruction set."""
    words = cpu.isa.split()
    if "avx512f" in words:
        return VectorUnit(16, 32)
    if "avx2" in words:
        return VectorUnit(8, 16)
    return VectorUnit(4, 32 if "asimd" in words else 16)


def parameters(cpu: Cpu) -> dict[str, tuple[int, ...]]:
    threads = {cpu.cores, *(2**i for i in range(cpu.cores.bit_length()))}
    return {**BUILT, **GIVEN, "THREADS": tuple(sorted(threads))}


def sizes(cpu: Cpu, shape: CpuShape) -> dict[str, int]:
    """What the rules name."""
    unit = vector_unit(cpu)
    return {
        "LANES": unit.lanes,
        "REGISTERS": unit.registers,
        "NC": NC,
        "hidden": shape.hidden,
        "inter": shape.inter,
    }


def default(cpu: Cpu, shape: CpuShape) -> dict[str, int]:
    """What one writes first: full vectors, a square tile that reuses both sides, weights as they
    come, gate and up one after the other, all cores, and what the hardware does by itself left to
    it: no blocking of the depth, no unrolling, no prefetch."""
    unit = vector_unit(cpu)
    side = 4 if unit.registers >= 32 else 2
    whole = min(kc for kc in GIVEN["KC"] if kc >= max(shape.hidden, shape.inter))
    tile = {"VECTOR": unit.lanes, "LAYOUT": 0, "MR": side, "NR": side}
    plain = {"UNROLL": 1, "FUSE": 0, "PREFETCH": 0, "KC": whole}
    return {**tile, **plain, "THREADS": cpu.cores}


def panel_columns(config: Config) -> int:
    """Columns of a panel; 0 where weights are as models ship them."""
    return config["NR"] * config["VECTOR"] if config["LAYOUT"] else 0
