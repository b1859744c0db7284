"""Build: source, configuration, architecture -> PTX, cubin and what it needs; without a GPU."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Sequence

import msgspec

from ...base import BadInput
from ...base.files import content_hash
from ..library import Config, Kernel
from . import cache
from .arches import number
from .compiler import compile_source, load_nvrtc, options, version
from .parallel import in_threads
from .targets import Target, label


class Resources(msgspec.Struct, frozen=True):
    """What the assembler reports (ptxas -v, run inside NVRTC): registers of a thread, bytes of its
    stack and of the registers spilled to memory, shared memory that the source declares itself."""

    registers: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    static_shared_bytes: int

    @property
    def spilled_bytes(self) -> int:
        return self.spill_store_bytes + self.spill_load_bytes


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

    @property
    def shared_bytes(self) -> int:
        """Of a block: what the launch asks for, and what the source declares."""
        return self.dynamic_shared_bytes + self.resources.static_shared_bytes


def build(kernel: Kernel, config: Config | str, arch: str, cached: bool = True) -> Build:
    """Compiles, or takes the same build from the user's cache; a damaged entry is made anew.

    Raises NoCompiler, and BadInput for a bad configuration or architecture, for one that a rule
    keeps from the other, and with the compiler's words when the source does not compile.
    """
    values = kernel.config(config)
    name = f"{kernel.name}/{label(kernel, values)} on {arch}"
    for reason in kernel.refusals(values, arch=number(arch)):
        raise BadInput(reason, key=name)
    nvrtc = load_nvrtc()
    texts, words, compiler = kernel.texts(), options(values, arch), version(nvrtc)
    launch = kernel.launch(values)
    sources = [part for item in texts.items() for part in item]
    key = content_hash(kernel.name, kernel.entry, repr(launch), *sources, *words, compiler)
    if cached and (found := _kept(key)) is not None:
        return found
    try:
        made = compile_source(nvrtc, kernel.source, texts, words)
    except BadInput as fault:
        raise BadInput(fault.what, file=fault.file, key=name) from None
    done = Build(
        kernel=kernel.name,
        entry=kernel.entry,
        config=values,
        arch=arch,
        key=key,
        cubin_hash=hashlib.sha256(made.cubin).hexdigest(),
        compiler=compiler,
        resources=parse_resources(made.log, kernel.entry),
        dynamic_shared_bytes=launch.shared_bytes,
        threads=launch.threads,
        ptx=made.ptx,
        cubin=made.cubin,
        log=made.log,
    )
    cache.keep(key, msgspec.msgpack.encode(done))
    return done


def build_all(
    targets: Sequence[Target], workers: int | None = None
) -> Generator[Build | BadInput, None, None]:
    """The build of each target, or why there is none, in order and as soon as they are there.

    Ctrl-C loses nothing: what is finished is in the cache. Raises NoCompiler at once.
    """
    load_nvrtc()

    def one(target: Target) -> Build | BadInput:
        try:
            return build(target.kernel, target.config, target.arch)
        except BadInput as fault:
            return fault

    return in_threads(one, targets, workers)


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


def _kept(key: str) -> Build | None:
    data = cache.read(key)
    try:
        found = msgspec.msgpack.decode(data, type=Build) if data else None
    except msgspec.DecodeError:  # kept by another version of this package
        return None
    return found if found and found.key == key else None
