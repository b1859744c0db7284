"""Build: source, configuration, architecture -> PTX, cubin and what it needs; without a GPU."""

from __future__ import annotations

import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

import msgspec

from ...base import BadInput
from ...base.files import cache_folder, content_hash, writing
from ..library import Config, Kernel
from .arches import arch as limits_of

MOST_CACHED_BYTES = 2**26
INSTALL = "install it with: pip install 'moesaic[gpu]' (Linux x86-64; no GPU is needed)"


class Resources(msgspec.Struct, frozen=True):
    """What the assembler reports (ptxas -v, run inside NVRTC): registers of a thread, bytes of its
    stack and of the registers spilled to memory, shared memory that the source declares itself."""

    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    static_shared_bytes: int


class Build(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One compiled configuration. `key` hashes everything that it was made from, `cubin_hash` the
    result: the same file runs on a GPU."""

    kernel: str
    entry: str
    config: dict[str, int]
    arch: str
    key: str
    cubin_hash: str
    compiler: str
    resources: Resources
    dynamic_shared_bytes: int
    threads: int
    ptx: str
    cubin: bytes
    log: str


def build(kernel: Kernel, config: Config | str, arch: str, cached: bool = True) -> Build:
    """Compiles, or takes the same build from the user's cache; a damaged entry is made anew.

    Raises BadInput without cupy and NVRTC, for a bad configuration or architecture, and with the
    compiler's words when the source does not compile.
    """
    values = kernel.config(config)
    limits_of(arch)
    nvrtc = _nvrtc()
    texts = kernel.texts()
    options = _options(values, arch)
    version = "nvrtc " + ".".join(map(str, nvrtc.getVersion()))
    key = content_hash(*[part for item in texts.items() for part in item], *options, version)
    file = cache_folder("kernels") / f"{key}.msgpack"
    if cached and (found := _read(file)) is not None and found.key == key:
        return found
    launch = kernel.launch(values)
    cubin, ptx, log = _compile(nvrtc, kernel, texts, options)
    made = Build(
        kernel=kernel.name,
        entry=kernel.entry,
        config=values,
        arch=arch,
        key=key,
        cubin_hash=_hash(cubin),
        compiler=version,
        resources=parse_resources(log, kernel.entry),
        dynamic_shared_bytes=launch.shared_bytes,
        threads=launch.threads,
        ptx=ptx,
        cubin=cubin,
        log=log,
    )
    with writing(file) as beside:
        beside.write_bytes(msgspec.msgpack.encode(made))
    return made


def parse_resources(log: str, entry: str) -> Resources:
    """The numbers of ptxas -v for one function; raises BadInput for a log without them."""
    part = log[log.find(f"'{entry}'") :]
    spills = re.search(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
    )
    used = re.search(r"Used (\d+) registers(.*)", part)
    if spills is None or used is None:
        raise BadInput("the assembler's report could not be read", key=entry, value=log[-300:])
    shared = re.search(r"(\d+) bytes smem", used[2])
    return Resources(
        registers=int(used[1]),
        stack_bytes=int(spills[1]),
        spill_store_bytes=int(spills[2]),
        spill_load_bytes=int(spills[3]),
        static_shared_bytes=int(shared[1]) if shared else 0,
    )


def _options(config: Config, arch: str) -> tuple[str, ...]:
    macros = (f"-D{name}={value}" for name, value in sorted(config.items()))
    return (f"-arch={arch}", "--std=c++17", "-default-device", "-Xptxas=-v", *macros)


def _compile(
    nvrtc: Any, kernel: Kernel, texts: dict[str, str], options: tuple[str, ...]
) -> tuple[bytes, str, str]:
    """The cubin, the PTX that it was assembled from, and the log without its timings."""
    headers = [(texts[name].encode(), name.encode()) for name in kernel.headers]
    program = nvrtc.createProgram(
        texts[kernel.source], kernel.source, [h[0] for h in headers], [h[1] for h in headers]
    )
    try:
        nvrtc.compileProgram(program, options)
        log = nvrtc.getProgramLog(program).rstrip("\0").splitlines()
        # cupy cuts the last byte of the results; the tools want the cubin whole.
        return (
            nvrtc.getCUBIN(program) + b"\0",
            nvrtc.getPTX(program).rstrip(b"\0").decode(),
            "\n".join(line for line in log if "Compile time" not in line),
        )
    except nvrtc.NVRTCError as fault:
        log = nvrtc.getProgramLog(program).rstrip("\0").strip() or str(fault)
        raise BadInput(
            f"does not compile with {' '.join(options)}: {' '.join(log.split())[:600]}",
            file=kernel.source,
        ) from None
    finally:
        nvrtc.destroyProgram(program)


def _nvrtc() -> Any:
    try:
        nvrtc: Any = importlib.import_module("cupy.cuda").nvrtc
        nvrtc.getVersion()
    # cupy puts an object in nvrtc's place that fails on use where the library is missing.
    except (ImportError, OSError, RuntimeError, AttributeError) as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise BadInput(f"kernels are compiled by NVRTC of cupy ({reason}); {INSTALL}") from None
    return nvrtc


def _read(file: Path) -> Build | None:
    """The build in a cache file; None where there is none or it is not whole."""
    try:
        if file.stat().st_size > MOST_CACHED_BYTES:
            return None
        found = msgspec.msgpack.decode(file.read_bytes(), type=Build)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.cubin_hash == _hash(found.cubin) else None


def _hash(cubin: bytes) -> str:
    return hashlib.sha256(cubin).hexdigest()
