"""Verilog of all blocks to one executable, by a simulator that is here, kept by content."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ....base.errors import unknown
from ....base.files import cache_folder, content_hash
from ..golden import BLOCKS
from . import cxxrtl, verilator
from .tools import FOLDER, NoSimulator, Unit, compiler, output, sources


class Simulator(msgspec.Struct, frozen=True):
    """find: raises NoSimulator where it is not. flags: of the C++ compiler. unit: writes blocks as
    C++ to a folder."""

    find: Callable[[], object]
    version: Callable[[], str]
    flags: tuple[str, ...]
    unit: Callable[[Iterable[str], Path], Unit]


SIMULATORS = {
    "verilator": Simulator(verilator.find, verilator.version, verilator.FLAGS, verilator.unit),
    "cxxrtl": Simulator(cxxrtl.find, cxxrtl.version, cxxrtl.FLAGS, cxxrtl.unit),
}


def simulator(name: str | None = None) -> str:
    """The one of that name, or the first one that is installed. Raises NoSimulator where none
    is."""
    if name is not None:
        if name not in SIMULATORS:
            raise unknown("simulator", name, SIMULATORS, key="--simulator")
        SIMULATORS[name].find()
        return name
    faults = []
    for each in SIMULATORS:
        try:
            SIMULATORS[each].find()
        except NoSimulator as fault:
            faults.append(fault)
        else:
            return each
    raise faults[0]


def executable(name: str | None = None) -> Path:
    """The driver with all blocks in it; built where the cache does not hold it."""
    name = simulator(name)
    by = SIMULATORS[name]
    own = (*sources(), *sorted(FOLDER.glob("*.?pp")), *sorted(FOLDER.glob("*.py")))
    texts = [path.read_bytes() for path in own]
    cache = cache_folder("rtl")
    kept = cache / f"{name}-{content_hash(by.version(), *compiler(), *BLOCKS, *texts)}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _compiled(by, Path(folder)).replace(kept)
    return kept


def _compiled(by: Simulator, folder: Path) -> Path:
    """One translation unit: headers are read once. What is cold is not optimised."""
    unit = by.unit(BLOCKS, folder)
    made, text, blocks = folder / "made", folder / "unit.cc", folder / "blocks.inc"
    lines = [f'#include "{part}"\n' for part in (*unit.parts, "driver.cpp")]
    lines += ['#pragma GCC optimize ("O0")\n', *(f'#include "{part}"\n' for part in unit.cold)]
    text.write_text("".join(lines))
    blocks.write_text(
        "".join(f'{{"{top}", serve<{name}>}},\n' for top, name in unit.classes.items())
    )
    includes = (f"-I{path}" for path in (folder, FOLDER, *unit.includes))
    words = ('-DBLOCKS="blocks.inc"', *includes, str(text), "-o", str(made))
    output([*compiler(), *by.flags, *words])
    return made
