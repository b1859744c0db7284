"""What one streaming multiprocessor of each architecture has.

Sources. 10.0 and the warps of 12.0: Blackwell Tuning Guide, 1.4.1.1. Shared memory of 12.0: CUDA
Programming Guide 13.1, 20.10.3 (128 KB in the tuning guide; the smaller is taken). Blocks of 12.0:
24 by a published device report, 32 by the tuning guide; the smaller is taken. 8.0, 8.6, 8.9, 9.0:
the guide's table "Technical Specifications per Compute Capability", from memory, unverified.
"""

from __future__ import annotations

import msgspec

from ...base import BadInput, unknown
from ...hardware import AnyDevice, Gpu

KIBIBYTE = 1024


class Arch(msgspec.Struct, frozen=True, kw_only=True):
    """shared_bytes: of one SM, and `shared_block_bytes` that one block may ask for."""

    warps: int
    blocks: int
    shared_bytes: int
    shared_block_bytes: int
    registers: int = 65536
    registers_per_thread: int = 255
    threads_per_block: int = 1024


def _arch(warps: int, blocks: int, shared_kib: int) -> Arch:
    # A block may ask for all but the 1 KiB that the system keeps of each block's share.
    return Arch(
        warps=warps,
        blocks=blocks,
        shared_bytes=shared_kib * KIBIBYTE,
        shared_block_bytes=(shared_kib - 1) * KIBIBYTE,
    )


ARCHES: dict[str, Arch] = {
    "sm_80": _arch(64, 32, 164),
    "sm_86": _arch(48, 16, 100),
    "sm_89": _arch(48, 24, 100),
    "sm_90": _arch(64, 32, 228),
    "sm_100": _arch(64, 32, 228),
    "sm_120": _arch(48, 24, 100),
}
SUFFIXED = {"sm_90a": "sm_90", "sm_100a": "sm_100", "sm_120a": "sm_120"}
"""The same machines with the instructions that no later architecture keeps."""
TARGETS = ("sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120")
"""What kernels are built and checked for where nobody asks for less: one of each generation."""

GENERATIONS = {"Ampere": "sm_80", "Ada": "sm_89", "Hopper": "sm_90a"}
"""Of the catalogue's GPUs with one target for all of a generation."""


def arch(name: str) -> Arch:
    """The limits of `name`, such as sm_90 or sm_90a; raises BadInput with the nearest names."""
    known = SUFFIXED.get(name, name)
    if known not in ARCHES:
        raise unknown("architecture", name, [*ARCHES, *SUFFIXED])
    return ARCHES[known]


def number(name: str) -> int:
    """90 of sm_90 and of sm_90a: the `ARCH` of the kernels' rules."""
    arch(name)
    return int(SUFFIXED.get(name, name).removeprefix("sm_"))


def arch_of(device: AnyDevice) -> str:
    """The target that a GPU of the catalogue runs, by its generation. Blackwell with HBM is 10.0,
    without it 12.0. Raises BadInput for what no kernel is built for."""
    generation = device.architecture if isinstance(device, Gpu) else None
    if generation == "Blackwell":
        return "sm_100a" if "HBM" in device.memory.technology else "sm_120"
    if generation not in GENERATIONS:
        raise BadInput(
            f"no kernel is built for it; they are for {', '.join((*GENERATIONS, 'Blackwell'))}",
            key=device.name,
        )
    return GENERATIONS[generation]


def target_for(major: int, minor: int) -> str:
    """The target whose cubin a GPU of this compute capability runs: that of its own, else the
    newest earlier one of its generation (CUDA Programming Guide, binary compatibility). Raises
    BadInput where there is none."""
    capability = 10 * major + minor
    fitting = [
        name for name in ARCHES if number(name) // 10 == major and number(name) <= capability
    ]
    if not fitting:
        raise BadInput(
            "no kernel is built for a GPU of this compute capability", value=f"{major}.{minor}"
        )
    newest = max(fitting, key=number)
    return next((t for t in TARGETS if number(t) == number(newest) == capability), newest)
