"""This machine as a Cpu: its peaks are what numpy reaches here, timed once and kept."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..base import BadInput
from ..base.files import cache_folder, content_hash, write_text
from ..base.spec import dump, load
from .device import Cpu
from .memory import Memory

MATRIX = 1024
COPY_BYTES = 256 * 2**20
ISA_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "sve2")
VERSION = "2"
"""Goes into the cache key: a probe that is changed is run again."""


def local_cpu() -> Cpu:
    """This machine, from the cache or probed now (about two seconds)."""
    model, flags = processor()
    cores = usable_cores()
    key = content_hash(VERSION, model, str(cores))
    path = cache_folder("local") / f"{key}.toml"
    if path.is_file():
        try:
            return load(Cpu, path)
        except BadInput:
            path.unlink(missing_ok=True)
    cpu = probe(model, flags, cores)
    write_text(path, dump(cpu))
    return cpu


def probe(model: str, flags: list[str], cores: int) -> Cpu:
    """Times this machine: float32 products by numpy's BLAS and a copy larger than the caches."""
    matmul = f"measured-here: best of repeated numpy float32 products of {MATRIX} x {MATRIX}"
    one_core = flops_per_s_on(1)
    flops = one_core if cores == 1 else flops_per_s_on(cores)
    flops = max(flops or 0.0, one_core or 0.0) or matmul_flops_per_s(0.5)
    return Cpu(
        name="local",
        vendor=model,
        cores=cores,
        isa=" ".join([platform.machine(), *(flag for flag in ISA_FLAGS if flag in flags)]),
        memory=Memory(
            technology="unknown",
            capacity_bytes=memory_bytes(),
            bandwidth_bytes_per_s=copy_bytes_per_s(cores),
        ),
        peak_flops_per_s={"fp32": flops},
        core_flops_per_s=one_core,
        sources={
            "cores": "measured-here: cores this process may run on",
            "memory.capacity_bytes": "measured-here: as the operating system states it",
            "memory.bandwidth_bytes_per_s": f"measured-here: best of repeated copies of "
            f"{COPY_BYTES >> 20} MiB by {cores} threads, bytes read plus bytes written",
            "peak_flops_per_s.fp32": f"{matmul}, all cores",
            "core_flops_per_s": f"{matmul}, one thread",
        },
    )


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """The processor's name and its feature flags; the flags are empty where none are told."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine() or "unknown", []
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())  # the first core speaks for all
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, (fields.get("flags") or fields.get("Features") or "").split()


def memory_bytes() -> float:
    """The main memory of this machine."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        raise BadInput("this operating system does not say how much memory it has") from None


def matmul_flops_per_s(budget_s: float) -> float:
    """The best rate of repeated float32 products on the threads that BLAS uses."""
    a = np.ones((MATRIX, MATRIX), np.float32)
    out = np.empty_like(a)
    return 2 * MATRIX**3 / _best_s(lambda: np.matmul(a, a, out=out), budget_s)


def flops_per_s_on(threads: int) -> float | None:
    """The same on so many threads, in a fresh process: BLAS reads its thread count when it loads,
    and this process may have been given another."""
    code = "from moesaic.hardware.local import matmul_flops_per_s as f; print(f(0.4))"
    given = dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        str(threads),
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **given},
            capture_output=True,
            timeout=20,
            check=True,
        )
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def copy_bytes_per_s(threads: int) -> float:
    """The best rate of repeated copies, read and written bytes together."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.zeros_like(source)
    pieces = list(
        zip(np.array_split(source, threads), np.array_split(target, threads), strict=True)
    )
    with ThreadPoolExecutor(threads) as pool:
        best = _best_s(
            lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pieces)), 0.5
        )
    return 2 * COPY_BYTES / best


def _best_s(call: Callable[[], object], budget_s: float) -> float:
    """The shortest of the calls that fit into the budget, after one to warm up."""
    call()
    best, end = float("inf"), time.perf_counter() + budget_s
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
