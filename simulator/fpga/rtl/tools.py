"""Programs of this machine that turn Verilog into an executable."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ....base import BadInput

FOLDER = Path(__file__).parent
VERILOG = FOLDER / "verilog"
LIMIT_S = 1200.0
"""The first run of YoWASP's yosys compiles it, for minutes."""


class NoSimulator(BadInput):
    """There is nothing to simulate Verilog with."""


@functools.cache
def compiler() -> tuple[str, ...]:
    """The words that start the C++ compiler: $CXX, or c++."""
    words = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(words[0]) is None:
        raise NoSimulator(
            "simulators of Verilog write C++, and no compiler was found: install the package "
            "`g++`, or set CXX",
            file=words[0],
        )
    return tuple(words)


class Unit(msgspec.Struct, frozen=True):
    """C++ of blocks: files to include in order, those that no cycle passes through, the class of
    each block, folders of headers."""

    parts: tuple[str, ...]
    cold: tuple[str, ...]
    classes: dict[str, str]
    includes: tuple[str, ...]


def sources() -> list[Path]:
    """All Verilog of the blocks."""
    return sorted(VERILOG.glob("*.v*"))


def output(words: Sequence[str], folder: Path | None = None) -> str:
    """What a tool prints, run in `folder`. Raises BadInput with its first complaint."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"took more than {LIMIT_S:g} s", file=words[0]) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise BadInput(f"fails: {' '.join(lines[:1]) or 'it gives no reason'}", file=words[0])
    return done.stdout
