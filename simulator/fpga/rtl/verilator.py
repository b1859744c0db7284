"""Blocks through Verilator."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable
from pathlib import Path

from .tools import NoSimulator, Unit, output

FLAGS = ("-std=c++17", "-O1", "-DVL_DEBUG=0", "-pthread")


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


def unit(tops: Iterable[str], verilog: Path, folder: Path) -> Unit:
    """Each block as a class of its name, and Verilator's own library."""
    tops = tuple(tops)
    for top in tops:
        output(
            [
                *(find(), "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
                *("--output-split", "0", "-Wno-fatal", "--prefix", top, "--Mdir", str(folder)),
                *(f"-I{verilog}", str(verilog / f"{top}.v")),
            ]
        )
    files = {path.name for path in folder.glob("*.cpp")}
    slow = {name for name in files if name.endswith("Slow.cpp")}
    root = output([find(), "--getenv", "VERILATOR_ROOT"]).strip()
    return Unit(
        parts=(*sorted(files - slow), "verilator.hpp"),
        cold=(*sorted(slow), "verilated.cpp", "verilated_threads.cpp"),
        classes={top: top for top in tops},
        includes=(f"{root}/include", f"{root}/include/vltstd"),
    )
