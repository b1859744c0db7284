"""Verilog to an executable by Verilator and the C++ compiler, kept by content."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ....base import BadInput
from ....base.files import cache_folder, content_hash

FOLDER = Path(__file__).parent
VERILOG = FOLDER / "verilog"
FLAGS = ("-std=c++17", "-O1", "-DVL_DEBUG=0")
RUNTIME_FLAGS = (*FLAGS, "-O0")
LIMIT_S = 300.0


class NoSimulator(BadInput):
    """There is nothing to simulate Verilog with."""


@functools.cache
def verilator() -> str:
    """Where Verilator is. Raises NoSimulator where it is not."""
    found = shutil.which("verilator")
    if found is None:
        raise NoSimulator(
            "RTL is simulated by Verilator, and it is not installed: install the package "
            "`verilator` (Debian and Ubuntu: apt-get install verilator)"
        )
    return found


@functools.cache
def compiler() -> tuple[str, ...]:
    """The words that start the C++ compiler: $CXX, or c++."""
    words = shlex.split(os.environ.get("CXX", "")) or ["c++"]
    if shutil.which(words[0]) is None:
        raise NoSimulator(
            "Verilator's output is compiled by a C++17 compiler, and none was found: install the "
            "package `g++`, or set CXX",
            file=words[0],
        )
    return tuple(words)


def sources() -> list[Path]:
    """All Verilog of the blocks."""
    return sorted(VERILOG.glob("*.v*"))


def executable(top: str) -> Path:
    """The driver with the Verilog module `top` in it; built where the cache does not hold it."""
    tools = (_output([verilator(), "--version"]), *compiler(), *FLAGS)
    texts = [path.read_bytes() for path in (*sources(), FOLDER / "driver.cpp")]
    cache = cache_folder("rtl")
    kept = cache / f"{top}-{content_hash(*tools, *texts)}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _build(top, Path(folder), _runtime(cache, tools)).replace(kept)
    return kept


def _build(top: str, folder: Path, runtime: Path) -> Path:
    """Verilates and compiles in one translation unit: headers are read once."""
    _output(
        [
            *(verilator(), "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
            *("--output-split", "0", "-Wno-fatal", "--prefix", "Model", "--Mdir", str(folder)),
            *(f"-I{VERILOG}", str(VERILOG / f"{top}.v")),
        ]
    )
    unit = folder / "unit.cpp"
    parts = [*sorted(path.name for path in folder.glob("Model*.cpp")), FOLDER / "driver.cpp"]
    unit.write_text("".join(f'#include "{part}"\n' for part in parts))
    made = folder / "made"
    names = ("-DBLOCK=Model", '-DHEADER="Model.h"')
    words = [*compiler(), *FLAGS, *names, *_includes(), f"-I{folder}"]
    _output([*words, str(unit), str(runtime), "-pthread", "-o", str(made)])
    return made


def _runtime(cache: Path, tools: tuple[str, ...]) -> Path:
    """Verilator's own library, compiled once for all blocks; no cycle passes through it."""
    kept = cache / f"verilated-{content_hash(*tools)}.o"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            unit, made = Path(folder) / "unit.cpp", Path(folder) / "made.o"
            unit.write_text('#include "verilated.cpp"\n#include "verilated_threads.cpp"\n')
            _output([*compiler(), *RUNTIME_FLAGS, *_includes(), "-c", str(unit), "-o", str(made)])
            made.replace(kept)
    return kept


@functools.cache
def _includes() -> tuple[str, str]:
    root = _output([verilator(), "--getenv", "VERILATOR_ROOT"]).strip()
    return f"-I{root}/include", f"-I{root}/include/vltstd"


def _output(words: list[str]) -> str:
    """What a tool prints. Raises BadInput with its first complaint."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"took more than {LIMIT_S:g} s", file=words[0]) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line]
        raise BadInput(f"fails: {' '.join(lines[:1]) or 'it gives no reason'}", file=words[0])
    return done.stdout
