"""Programs of this machine that turn Verilog into an executable."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
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


def compiler() -> tuple[str, ...]:
    """The words that start the C++ compiler: $CXX, or c++. Raises NoSimulator where it is missing
    or cannot compile."""
    return _tried(os.environ.get("CXX", ""))


@functools.cache
def _tried(text: str) -> tuple[str, ...]:
    try:
        words = shlex.split(text) or ["c++"]
    except ValueError as fault:
        raise NoSimulator(f"is no command ({fault})", key="CXX", value=text) from None
    if shutil.which(words[0]) is None:
        raise _no_compiler(words[0], "no such program was found")
    with tempfile.TemporaryDirectory() as folder:
        path, made = Path(folder, "any.cc"), Path(folder, "any.o")
        path.write_text("#include <memory>\nint main() { return 0; }\n")
        try:
            output([*words, "-std=c++17", "-c", str(path), "-o", str(made)])
        except BadInput as fault:
            raise _no_compiler(words[0], f"it {fault.what}") from None
        if not made.exists():
            raise _no_compiler(words[0], "it writes nothing")
    return tuple(words)


def _no_compiler(word: str, why: str) -> NoSimulator:
    return NoSimulator(
        f"cannot compile the C++ that simulators of Verilog write ({why}): install the package "
        "`g++`, or set CXX to a compiler",
        file=word,
    )


class Unit(msgspec.Struct, frozen=True):
    """C++ of blocks: files to include in order, those that no cycle passes through, the class of
    each block, folders of headers."""

    parts: tuple[str, ...]
    cold: tuple[str, ...]
    classes: dict[str, str]
    includes: tuple[str, ...]


def sources(verilog: Path) -> list[Path]:
    """All Verilog in a folder."""
    return sorted(verilog.glob("*.v*"))


def output(words: Sequence[str], folder: Path | None = None) -> str:
    """What a tool prints, run in `folder`. Raises BadInput with its first complaint."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"took more than {LIMIT_S:g} s", file=words[0]) from None
    except OSError as fault:
        raise BadInput(f"cannot be run: {fault.strerror}", file=words[0]) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise BadInput(f"fails: {' '.join(lines[:1]) or 'it gives no reason'}", file=words[0])
    return done.stdout
