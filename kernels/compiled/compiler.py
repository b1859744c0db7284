"""The compiler: NVRTC as cupy binds it, called without a GPU and without a driver."""

from __future__ import annotations

import importlib
import platform
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...base import BadInput

INSTALL = "install it with: pip install 'moesaic[gpu]' (Linux on x86-64; no GPU is needed)"
FOLDER = "/kernels/cuda/"
"""What the debug lines say the sources lie in: the same for everybody, so that a build does not
depend on where it was made."""


class NoCompiler(BadInput):
    """Nothing can be compiled on this machine."""


class Compiled(NamedTuple):
    cubin: bytes
    ptx: str
    log: str


def load_nvrtc() -> Any:
    """cupy's binding of NVRTC. Raises NoCompiler: what is skipped for want of it, what helps."""
    try:
        nvrtc: Any = importlib.import_module("cupy.cuda").nvrtc
        nvrtc.getVersion()
    # cupy puts an object in nvrtc's place that fails on use where the library is missing.
    except (ImportError, OSError, RuntimeError, AttributeError) as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        here = f"{platform.system()} on {platform.machine()}"
        advice = INSTALL
        if here not in ("Linux on x86_64", "Linux on AMD64"):
            advice = f"NVIDIA's wheels are for Linux on x86-64, and this is {here}"
        raise NoCompiler(
            f"kernels are neither compiled nor checked here, for want of NVRTC ({reason}); {advice}"
        ) from None
    return nvrtc


def version(nvrtc: Any) -> str:
    return "nvrtc " + ".".join(map(str, nvrtc.getVersion()))


def options(config: Mapping[str, int], arch: str) -> tuple[str, ...]:
    """-lineinfo names source lines in the PTX and the cubin; the instructions stay the same."""
    macros = (f"-D{name}={value}" for name, value in sorted(config.items()))
    return (f"-arch={arch}", "--std=c++17", "-default-device", "-lineinfo", "-Xptxas=-v", *macros)


def compile_source(
    nvrtc: Any, source: str, texts: Mapping[str, str], words: Sequence[str]
) -> Compiled:
    """texts: the source and its headers by file name. Raises BadInput with the compiler's first
    complaint, at its line. NVRTC compiles in any number of threads at a time."""
    marked = {name: f'#line 1 "{FOLDER}{name}"\n{text}' for name, text in texts.items()}
    headers = [name for name in texts if name != source]
    program = nvrtc.createProgram(
        marked[source], source, [marked[h].encode() for h in headers], [h.encode() for h in headers]
    )
    try:
        nvrtc.compileProgram(program, tuple(words))
        log = nvrtc.getProgramLog(program).rstrip("\0").splitlines()
        return Compiled(
            # cupy cuts the last byte of the results; the tools want the cubin whole.
            cubin=nvrtc.getCUBIN(program) + b"\0",
            ptx=nvrtc.getPTX(program).rstrip(b"\0").decode(),
            log="\n".join(line for line in log if "Compile time" not in line),
        )
    except nvrtc.NVRTCError as fault:
        log = nvrtc.getProgramLog(program).rstrip("\0").strip() or str(fault)
        where, words_of_it = complaint(log)
        raise BadInput(f"does not compile: {words_of_it}", file=where or source) from None
    finally:
        nvrtc.destroyProgram(program)


def complaint(log: str) -> tuple[str, str]:
    """Where (`file:line`, nothing when it does not say) and what the first error of a log is."""
    found = re.search(r"^(\S+)\((\d+)\): (?:catastrophic )?error: (.*)$", log, re.MULTILINE)
    if found:
        return f"{found[1].removeprefix(FOLDER)}:{found[2]}", found[3].strip()
    assembler = re.search(r"error\s*: (.*)$", log, re.MULTILINE)
    return "", assembler[1].strip() if assembler else " ".join(log.split())[:300]
