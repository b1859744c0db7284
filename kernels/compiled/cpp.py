"""The C++ compiler of this machine: sources of kernels/cpu to shared objects, kept by content."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ...base import BadInput
from ...base.files import content_hash
from ...hardware.local import processor
from . import cache
from .compiler import NoCompiler

FOLDER = Path(__file__).parent.parent / "cpu"
FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast"),
    *("-fPIC", "-shared", "-pthread", "-Wno-psabi"),
)
NAMES = ("c++", "g++", "clang++")
LIMIT_S = 60.0


@functools.cache
def compiler() -> tuple[str, ...]:
    """The words that start it: $CXX, or the first of NAMES. Raises NoCompiler where none is."""
    try:
        asked = shlex.split(os.environ.get("CXX", ""))
    except ValueError as fault:
        raise BadInput(f"is no command: {fault}", key="CXX") from None
    for words in [asked] if asked else [[name] for name in NAMES]:
        if found := shutil.which(words[0]):
            return (found, *words[1:])
    raise NoCompiler(
        "CPU kernels are compiled by a C++20 compiler, and none was found: install g++ 12 or "
        "clang++ 15 or newer (Debian and Ubuntu: apt-get install g++), or set CXX"
    )


@functools.cache
def version(words: tuple[str, ...]) -> str:
    """The first line of what the compiler says of itself."""
    return _run([*words, "--version"]).stdout.partition("\n")[0]


def _identity(words: tuple[str, ...]) -> str:
    """What a build depends on besides its text: the compiler and, by -march=native, the CPU."""
    name, flags = processor()
    return "\n".join([*words, version(words), name, *flags])


def shared_object(source: str, macros: Mapping[str, int]) -> tuple[bytes, bool]:
    """The shared object of a source with its macros, and whether it was compiled only now.

    Raises BadInput with the compiler's first complaint.
    """
    words = compiler()
    options = [*FLAGS, *(f"-D{name}={value}" for name, value in sorted(macros.items()))]
    texts = {file.name: file.read_text(encoding="utf-8") for file in _files(source)}
    key = content_hash(_identity(words), source, *options, *texts, *texts.values())
    if (kept := cache.read(key)) is not None:
        return kept, False
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernel.so"
        done = _run([*words, *options, str(FOLDER / source), "-o", str(made)])
        if done.returncode or not made.is_file():
            where, complaint = _complaint(done.stderr)
            raise BadInput(f"does not compile: {complaint}", file=where or source)
        data = made.read_bytes()
    cache.keep(key, data)
    return data, True


def load(data: bytes) -> ctypes.CDLL:
    """The shared object in this process, for as long as it lives."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.so"
        file.write_bytes(data)
        return ctypes.CDLL(str(file))


def _files(source: str) -> list[Path]:
    """The source and all headers: few, and any may be included."""
    return [FOLDER / source, *sorted(FOLDER.glob("*.hpp"))]


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"the compiler took more than {LIMIT_S:g} s", file=words[0]) from None
    except OSError as fault:
        raise NoCompiler(f"the compiler cannot be run: {fault.strerror}", file=words[0]) from None


def _complaint(log: str) -> tuple[str, str]:
    """Where (`file:line`, nothing when it does not say) and what the first error of a log is."""
    found = re.search(r"^(\S+?):(\d+):\d+: (?:fatal )?error: (.*)$", log, re.MULTILINE)
    if found:
        return f"{Path(found[1]).name}:{found[2]}", found[3].strip()
    return "", " ".join(log.split())[:300] or "it gives no reason"
