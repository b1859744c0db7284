"""Verilog to an executable, by the simulators that are here, kept by content."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from ....base.errors import unknown
from ....base.files import cache_folder, content_hash
from . import cxxrtl, verilator
from .tools import FOLDER, NoSimulator, compiler, sources


class Simulator(msgspec.Struct, frozen=True):
    """find raises NoSimulator where it is not; build makes the driver with a block in a folder."""

    find: Callable[[], object]
    version: Callable[[], str]
    flags: tuple[str, ...]
    build: Callable[[str, Path], Path]


SIMULATORS = {
    "verilator": Simulator(verilator.find, verilator.version, verilator.FLAGS, verilator.build),
    "cxxrtl": Simulator(cxxrtl.find, cxxrtl.version, cxxrtl.FLAGS, cxxrtl.build),
}


def simulator(name: str | None = None) -> str:
    """The one of that name, or the first one that is installed. Raises NoSimulator where none
    is."""
    if name is not None:
        if name not in SIMULATORS:
            raise unknown("simulator", name, SIMULATORS, key="--simulator")
        SIMULATORS[name].find()
        return name
    try:
        SIMULATORS["verilator"].find()
    except NoSimulator as fault:
        try:
            SIMULATORS["cxxrtl"].find()
        except NoSimulator:
            raise fault from None
        return "cxxrtl"
    return "verilator"


def executable(top: str, name: str | None = None) -> Path:
    """The driver with the Verilog module `top` in it; built where the cache does not hold it."""
    name = simulator(name)
    by = SIMULATORS[name]
    driver = (*FOLDER.glob("*.cpp"), *FOLDER.glob("*.hpp"))
    texts = [path.read_bytes() for path in (*sources(), *sorted(driver))]
    cache = cache_folder("rtl")
    kept = cache / f"{top}-{content_hash(name, by.version(), *compiler(), *by.flags, *texts)}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            by.build(top, Path(folder)).replace(kept)
    return kept
