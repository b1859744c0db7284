"""A block through Verilator."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from ....base.files import cache_folder, content_hash
from .tools import FOLDER, VERILOG, NoSimulator, compiler, output

FLAGS = ("-std=c++17", "-O1", "-DVL_DEBUG=0")
LIBRARY_FLAGS = (*FLAGS, "-O0")


def find() -> str:
    """Where Verilator is. Raises NoSimulator where it is not."""
    found = shutil.which("verilator")
    if found is None:
        raise NoSimulator(
            "RTL is simulated by Verilator, and it is not installed: install the package "
            "`verilator` (Debian and Ubuntu: apt-get install verilator), or pip's `moesaic[rtl]` "
            "for yosys' cxxrtl"
        )
    return found


@functools.cache
def version() -> str:
    """What a build depends on besides its text."""
    return output([find(), "--version"])


def build(top: str, folder: Path) -> Path:
    """Verilates and compiles in one translation unit: headers are read once."""
    output(
        [
            *(find(), "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
            *("--output-split", "0", "-Wno-fatal", "--prefix", "Model", "--Mdir", str(folder)),
            *(f"-I{VERILOG}", str(VERILOG / f"{top}.v")),
        ]
    )
    unit, made = folder / "unit.cpp", folder / "made"
    parts = [*sorted(path.name for path in folder.glob("Model*.cpp")), FOLDER / "driver.cpp"]
    unit.write_text("".join(f'#include "{part}"\n' for part in parts))
    names = ('-DADAPTER="verilator.hpp"', f"-I{FOLDER}", f"-I{folder}", *_includes())
    words = (str(unit), str(_library()), "-pthread", "-o", str(made))
    output([*compiler(), *FLAGS, *names, *words])
    return made


def _library() -> Path:
    """Verilator's own library, compiled once for all blocks; no cycle passes through it."""
    cache = cache_folder("rtl")
    kept = cache / f"verilated-{content_hash(version(), *compiler(), *LIBRARY_FLAGS)}.o"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            unit, made = Path(folder) / "unit.cpp", Path(folder) / "made.o"
            unit.write_text('#include "verilated.cpp"\n#include "verilated_threads.cpp"\n')
            words = ("-c", str(unit), "-o", str(made))
            output([*compiler(), *LIBRARY_FLAGS, *_includes(), *words])
            made.replace(kept)
    return kept


@functools.cache
def _includes() -> tuple[str, str]:
    root = output([find(), "--getenv", "VERILATOR_ROOT"]).strip()
    return f"-I{root}/include", f"-I{root}/include/vltstd"
