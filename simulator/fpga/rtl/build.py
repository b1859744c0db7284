"""Verilog of all blocks to one executable, by a simulator that is here, kept by content."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from ....base import BadInput
from ....base.errors import unknown
from ....base.files import cache_folder, content_hash
from ..golden import BLOCKS
from . import cxxrtl, verilator
from .tools import FOLDER, VERILOG, NoSimulator, Unit, compiler, output, sources


class Simulator(msgspec.Struct, frozen=True):
    """find: raises NoSimulator where it is not. flags: of the C++ compiler. unit: writes blocks of
    a folder of Verilog as C++ to another folder."""

    find: Callable[[], object]
    version: Callable[[], str]
    flags: tuple[str, ...]
    unit: Callable[[Iterable[str], Path, Path], Unit]


SIMULATORS = {
    "verilator": Simulator(verilator.find, verilator.version, verilator.FLAGS, verilator.unit),
    "cxxrtl": Simulator(cxxrtl.find, cxxrtl.version, cxxrtl.FLAGS, cxxrtl.unit),
}


def simulator(name: str | None = None) -> str:
    """The one of that name, or the first one that is installed. Raises NoSimulator where none
    is, or no compiler for the C++ that it writes."""
    if name is None:
        name = _installed()
    elif name not in SIMULATORS:
        raise unknown("simulator", name, SIMULATORS, key="--simulator")
    SIMULATORS[name].find()
    compiler()
    return name


def _installed() -> str:
    faults = []
    for each in SIMULATORS:
        try:
            SIMULATORS[each].find()
        except NoSimulator as fault:
            faults.append(fault)
        else:
            return each
    raise faults[0]


def executable(
    name: str | None = None, tops: Sequence[str] = tuple(BLOCKS), verilog: Path = VERILOG
) -> Path:
    """The driver with these blocks of a folder of Verilog in it; built where the cache does not
    hold it. Raises BadInput where a tool or the cache fails."""
    name = simulator(name)
    by = SIMULATORS[name]
    own = (*sources(verilog), *sorted(FOLDER.glob("*.?pp")), *sorted(FOLDER.glob("*.py")))
    texts = [path.read_bytes() for path in own]
    cache = cache_folder("rtl")
    kept = cache / f"{name}-{content_hash(by.version(), *compiler(), *tops, *texts)}"
    if not kept.exists():
        with _beside(cache) as folder:
            _compiled(by, tops, verilog, folder).replace(kept)
    return kept


@contextlib.contextmanager
def _beside(cache: Path) -> Iterator[Path]:
    """A temporary folder in the cache. Raises BadInput where it cannot be written."""
    try:
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            yield Path(folder)
    except OSError as fault:
        raise BadInput(
            f"the cache folder cannot be written ({fault.strerror}); set MOESAIC_CACHE", file=cache
        ) from None


def _compiled(by: Simulator, tops: Sequence[str], verilog: Path, folder: Path) -> Path:
    """One translation unit: headers are read once. What is cold is not optimised."""
    unit = by.unit(tops, verilog, folder)
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
