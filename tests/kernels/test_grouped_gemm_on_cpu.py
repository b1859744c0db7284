"""The grouped GEMM's own source, compiled by g++ on a thread emulation, against float64 numpy.

It shows the indexing, the pipeline, the fragments, the tails and the epilogue; not the text of the
inline assembly, which g++ never sees, and no timing.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from moesaic.kernels import kernel
from moesaic.kernels.library.bf16 import from_bits, to_bits
from moesaic.kernels.library.grouped_gemm import GroupedGemmShape, reference

CPU = Path(__file__).parent / "cpu"
KERNEL = kernel("grouped-gemm")
pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="needs g++ to compile for a CPU"
)

CASES = {
    "gate-up-16x64": KERNEL.config("gate-up-16x64"),
    "gate-up-16x128": KERNEL.config("gate-up-16x128"),
    "down-64x128": KERNEL.config("down-64x128"),
    # Two warps, the shallowest tile, the shortest pipeline; then 32-deep tiles.
    "smallest": KERNEL.config(
        {"BM": 32, "BN": 32, "BK": 16, "WARPS_M": 2, "WARPS_N": 1, "STAGES": 2, "FUSE_SWIGLU": 1}
    ),
    "depth-32": KERNEL.config(
        {"BM": 64, "BN": 64, "BK": 32, "WARPS_M": 2, "WARPS_N": 2, "STAGES": 3, "FUSE_SWIGLU": 0}
    ),
}
# An expert without rows at each end and inside, one row, a full tile, a tile and a row.
ROWS = (0, 1, 64, 0, 65, 23, 0)


def compiled(folder: Path, config, old: str = "", new: str = "") -> Path:
    """The program of a configuration, its source changed from `old` to `new` where asked."""
    source = KERNEL.texts()[KERNEL.source]
    assert not old or source.count(old) == 1
    (folder / KERNEL.source).write_text(source.replace(old, new) if old else source)
    for name in ("primitives.cuh", "run_grouped_gemm.cpp"):
        shutil.copy(CPU / name, folder / name)
    program = folder / "run"
    macros = [f"-D{name}={value}" for name, value in config.items()]
    command = ["g++", "-O1", "-std=c++17", "-w", *macros, "run_grouped_gemm.cpp", "-o", "run"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return program


def run(program: Path, config, late: bool, seed: int = 0, depth: int = 256):
    """(output, float64 reference, bank conflicts, mma's) on random numbers."""
    shape = GroupedGemmShape(rows=ROWS, depth=depth, columns=128)
    launch, parts = KERNEL.launch(config, shape), 1 + config["FUSE_SWIGLU"]
    rng = np.random.default_rng(seed)
    inputs = to_bits(rng.standard_normal((sum(ROWS), shape.depth)))
    weights = to_bits(rng.standard_normal((len(ROWS), parts * shape.columns, shape.depth)) / 16)
    head = [late, seed, len(ROWS), shape.columns, shape.depth, launch.grid[0]]
    head += [launch.grid[1] + 1, launch.shared_bytes]  # a row tile too many does no harm
    starts = np.concatenate([head, shape.row_starts(), shape.tile_starts(config)])
    data = starts.astype(np.int32).tobytes() + inputs.tobytes() + weights.tobytes()
    program.with_suffix(".in").write_bytes(data)
    files = [str(program.with_suffix(end)) for end in (".in", ".out")]
    subprocess.run([program, *files], check=True, timeout=120, capture_output=True)
    raw = Path(files[1]).read_bytes()
    out = from_bits(np.frombuffer(raw[:-16], np.uint16)).reshape(sum(ROWS), shape.columns)
    conflicts, multiplies = np.frombuffer(raw[-16:], np.uint64)
    exact = reference(
        from_bits(inputs).astype(float),
        from_bits(weights).astype(float),
        shape.row_starts(),
        bool(config["FUSE_SWIGLU"]),
    )
    return out, exact, int(conflicts), int(multiplies)


def worst_error(out, exact) -> float:
    """The largest error against the exact value, near zero against 0.02; nan counts as infinite."""
    error = np.abs(out - exact) / np.maximum(np.abs(exact), 0.02)
    return float(np.nan_to_num(error, nan=np.inf).max())


# bf16 has 8 significant bits, so rounding to nearest costs at most 2^-8 of the value; the fp32 sums
# over 256 products of order 1/16 add some 1e-6, which the hundredth more covers at 0.02.
ALLOWED = 2**-8 * 1.01


@pytest.mark.parametrize("name", CASES)
def test_the_source_computes_the_reference_without_bank_conflicts(tmp_path, name):
    config = CASES[name]
    program = compiled(tmp_path, config)
    tiles = int(GroupedGemmShape(ROWS, 256, 128).tile_starts(config)[-1])
    mma = tiles * config["BM"] // 16 * (128 // 8) * (256 // 16) * (1 + config["FUSE_SWIGLU"])
    for late in (False, True):
        out, exact, conflicts, multiplies = run(program, config, late, seed=int(late))
        assert worst_error(out, exact) < ALLOWED
        assert conflicts == 0
        assert multiplies == mma
    # A depth of one tile: the pipeline is longer than the loop.
    out, exact, *_ = run(program, config, late=True, depth=config["BK"])
    assert worst_error(out, exact) < ALLOWED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("wait_for_copies<STAGES - 2>", "wait_for_copies<STAGES - 1>"),
        ("__syncthreads();", ""),
        ("int reading = 0, writing = STAGES - 1;", "int reading = 1, writing = STAGES - 1;"),
        ("right[0], right[1]", "right[1], right[0]"),
        ("const bool there = row < rows_here;", "const bool there = true;"),
        ("if (row < rows_here)\n", "if (true)\n"),
        ("if (tile_starts[middle] <= tile)", "if (tile_starts[middle] < tile)"),
        ("half * 8 + lane / 4", "half * 8 + lane % 4"),
    ],
)
def test_a_fault_put_into_the_source_is_seen(tmp_path, old, new):
    config = CASES["gate-up-16x64"]
    program = compiled(tmp_path, config, old, new)
    try:
        out, exact, *_ = run(program, config, late=True)
        error = worst_error(out, exact)
    except subprocess.CalledProcessError as fault:
        # 3: the emulation itself saw the fault, an access out of bounds for example.
        error = np.inf if fault.returncode == 3 else 0
    assert error > 0.05


def test_without_the_swizzle_the_numbers_stay_and_the_conflicts_show(tmp_path):
    config = CASES["gate-up-16x64"]
    program = compiled(tmp_path, config, "(chunk ^ ((row / rows_in_line) & mask))", "chunk")
    out, exact, conflicts, _ = run(program, config, late=False)
    assert worst_error(out, exact) < ALLOWED
    assert conflicts > 0
