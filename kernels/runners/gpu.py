"""The cubins on the GPU of this machine, their numbers held against float64."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..compiled import Build, build, gate
from ..compiled.build import INSTALL
from ..library import Config, Kernel
from ..library.bf16 import from_bits, to_bits
from ..library.grouped_gemm import GroupedGemmShape, reference

Bits = NDArray[np.uint16]

SHAPE = GroupedGemmShape(rows=(0, 1, 37, 128, 200), depth=1024, columns=512)
"""No rows, one, a tail, whole tiles, and more than one tile."""

TOLERANCE = 2.0**-7
"""Of the largest output: bf16 keeps 8 bits, and the result is rounded once after fp32 sums."""


class Numerics(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration on the GPU: the largest error over the largest output, or why it did not
    run. cubin_hash names the very file that ran."""

    config: str
    arch: str
    cubin_hash: str
    error: float | None
    refused: str = ""

    @property
    def ok(self) -> bool:
        return self.error is not None and self.error <= TOLERANCE


def local_arch() -> str:
    """The architecture of the first GPU, such as sm_90; raises BadInput where there is none."""
    try:
        runtime: Any = importlib.import_module("cupy.cuda").runtime
        found = runtime.getDeviceProperties(0) if runtime.getDeviceCount() else None
    except ImportError:
        raise BadInput(f"a GPU is reached through cupy; {INSTALL}") from None
    except Exception as fault:  # cupy has an exception of its own for each cause
        raise BadInput(f"no GPU can be used here: {str(fault).splitlines()[0]}") from None
    if found is None:
        raise BadInput("no GPU is in this machine")
    return f"sm_{found['major']}{found['minor']}"


def check(kernel: Kernel, seed: int = 0) -> list[Numerics]:
    """Runs every registered configuration of the grouped GEMM on seeded numbers.

    Raises BadInput without a GPU. A configuration that the gate refuses is reported, not run.
    """
    arch = local_arch()
    return [_check_one(kernel, name, config, arch, seed) for name, config in kernel.configs.items()]


def _check_one(kernel: Kernel, name: str, config: Config, arch: str, seed: int) -> Numerics:
    made = build(kernel, config, arch)
    verdict = gate(made)
    if not verdict.launchable:
        return Numerics(
            config=name,
            arch=arch,
            cubin_hash=made.cubin_hash,
            error=None,
            refused="; ".join(verdict.refusals),
        )
    fused = bool(config["FUSE_SWIGLU"])
    rng = np.random.default_rng(seed)
    rows, experts = sum(SHAPE.rows), len(SHAPE.rows)
    inputs = to_bits(rng.standard_normal((rows, SHAPE.depth)))
    outputs = SHAPE.columns * (2 if fused else 1)
    weights = to_bits(rng.standard_normal((experts, outputs, SHAPE.depth)) / SHAPE.depth**0.5)
    wanted = reference(
        from_bits(inputs).astype(float), from_bits(weights).astype(float), SHAPE.row_starts(), fused
    )
    got = from_bits(_launch(kernel, made, config, inputs, weights)).astype(float)
    error = float(np.abs(got - wanted).max() / np.abs(wanted).max())
    return Numerics(config=name, arch=arch, cubin_hash=made.cubin_hash, error=error)


def _launch(kernel: Kernel, made: Build, config: Config, inputs: Bits, weights: Bits) -> Bits:
    cupy: Any = importlib.import_module("cupy")
    launch = kernel.launch(config, SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(made.cubin)
        function = cupy.RawModule(path=str(file)).get_function(made.entry)
    function.max_dynamic_shared_size_bytes = launch.shared_bytes
    out = cupy.zeros((inputs.shape[0], SHAPE.columns), cupy.uint16)
    arguments = (
        cupy.asarray(inputs),
        cupy.asarray(weights),
        out,
        cupy.asarray(SHAPE.row_starts()),
        cupy.asarray(SHAPE.tile_starts(config)),
        np.int32(len(SHAPE.rows)),
        np.int32(SHAPE.columns),
        np.int32(SHAPE.depth),
    )
    function(launch.grid, (launch.threads,), arguments, shared_mem=launch.shared_bytes)
    return np.asarray(cupy.asnumpy(out))
