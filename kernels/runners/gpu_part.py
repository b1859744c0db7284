"""The runner of a GPU: a part of a MoE layer, each configuration checked, then timed."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.evidence import Evidence
from ..compiled.build import Build, build
from ..compiled.compiler import NoCompiler
from ..compiled.gate import gate
from ..library import Config, Launch, bounds
from ..library.experts import NULL, Operands, finished, out_form, reference, sums_of
from ..library.formats import DTYPES
from ..library.grouped_gemm import GroupedGemmShape
from ..library.kernel import Expected
from ..library.part import Part
from ..library.split_reduce import SPLIT_REDUCE, SplitReduceShape
from ..search.runner import Trial
from ..search.space import Space
from .gpu import loaded, local_gpu
from .gpu_clock import time_on_gpu

POOL = 4_194_319
"""Numbers drawn; every array repeats them. A prime, so that no two rows are the same."""
CACHES_FILLED = 4
"""The turns together touch so many times what the last cache holds."""
MOST_SPLITS = 8
THREADS = 256
"""Of a block that adds up splits."""


class GpuRunner:
    """Measures a part of a layer on the first GPU of this machine.

    Raises BadInput where there is none, or where its memory does not hold the part. After an error
    of the GPU it can run no more and raises: keep it in a process of its own.
    """

    evidence: Evidence = "measured-here"

    def __init__(self, part: Part, space: Space, seed: int = 0, budget_s: float = 0.01) -> None:
        self.part, self.space, self._budget_s = part, space, budget_s
        self._gpu = local_gpu()
        self._cupy: Any = importlib.import_module("cupy")
        self._properties = self._cupy.cuda.runtime.getDeviceProperties(0)
        self._data = _Data(part, seed)
        self._turns = [_Buffers(self._cupy, part, self._data) for _ in range(self._needed())]

    @property
    def about(self) -> dict[str, str]:
        return {
            "kernel": self.part.kernel.name,
            "work": self.part.name,
            "gpu": self._gpu.name,
            "arch": self._gpu.arch,
            "driver": self._gpu.driver,
        }

    def __call__(self, row: int) -> Trial:
        config = self.space.config(row)
        macros = {**config, **self.part.fixed}
        try:
            made = build(self.part.kernel, macros, self._gpu.arch)
        except NoCompiler:
            raise
        except BadInput as fault:
            return Trial(config=config, status="compile", reason=str(fault))
        verdict = gate(made)
        if verdict.refusals:
            return Trial(config=config, status="refused", reason="; ".join(verdict.refusals))
        facts = {
            "registers": float(made.resources.registers),
            "spilled_bytes": float(made.resources.spilled_bytes),
            "blocks": float(verdict.blocks),
        }
        steps = self._steps(made, macros, verdict.blocks)
        turns = [functools.partial(_start_all, buffers, steps) for buffers in self._turns]
        self._turns[0].poison()
        turns[0]()
        excess = self._data.expected.excess(self._turns[0].sample(self._data))
        if not excess <= 1:
            reason = f"the result is {excess:.3g} times its bound away"
            return Trial(config=config, status="wrong", reason=reason, facts=facts)
        timing = time_on_gpu(self._cupy, turns, self._budget_s)
        return Trial(
            config=config,
            status="ok",
            seconds=timing.median_s,
            spread=timing.spread,
            repeats=timing.repeats,
            facts=facts,
        )

    def _needed(self) -> int:
        """How many copies of the part keep its weights out of the last cache, as memory allows."""
        cache = int(self._properties["l2CacheSize"])
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        wanted = -(-CACHES_FILLED * cache // self.part.weight_bytes)
        fitting = int(0.8 * free) // self._data.bytes
        if fitting < 1:
            raise BadInput(
                f"needs {self._data.bytes} bytes of the GPU's memory; {free} are free",
                key=self.part.name,
            )
        return max(1, min(wanted, fitting))

    def _steps(self, made: Build, config: Config, blocks: int) -> list[_Step]:
        """The kernel, and with a split depth the one that adds up the splits."""
        shape = self.part.shape
        rest = [np.int32(n) for n in (len(shape.rows), shape.columns, shape.depth)]
        if not isinstance(shape, GroupedGemmShape):
            names = ("in", "weights", "out", "row_starts", "tokens")
            return [self._step(made, self.part.kernel.launch(config, shape), names, rest)]
        units = int(self._properties["multiProcessorCount"])
        launch = self.part.kernel.launch(
            config, msgspec.structs.replace(shape, blocks=units * blocks)
        )
        tiles = self._cupy.asarray(shape.tile_starts(config))
        to = "sums" if config["SPLIT_K"] > 1 else "out"
        given = ("in", "weights", to, "row_starts", tiles, "tokens", NULL, NULL)
        first = self._step(made, launch, given, rest)
        return [first, self._adding_up(config, shape)] if config["SPLIT_K"] > 1 else [first]

    def _adding_up(self, config: Config, shape: GroupedGemmShape) -> _Step:
        of_both = {name: config[name] for name in ("DTYPE", "FUSE_SWIGLU", "SPLIT_K")}
        macros = {**of_both, "THREADS": THREADS}
        rows = sum(shape.rows)
        launch = SPLIT_REDUCE.launch(macros, SplitReduceShape(rows=rows, columns=shape.columns))
        made = build(SPLIT_REDUCE, macros, self._gpu.arch)
        return self._step(made, launch, ("sums", "out"), [np.uint32(rows * shape.columns)])

    def _step(self, made: Build, launch: Launch, names: tuple[Any, ...], rest: list[Any]) -> _Step:
        return _Step(loaded(self._cupy, made, launch), launch, names, rest)


class _Step(msgspec.Struct, frozen=True):
    """One launch. names: arguments by name of a buffer, or themselves."""

    start: Callable[..., None]
    launch: Launch
    names: tuple[Any, ...]
    rest: list[Any]


def _start_all(buffers: _Buffers, steps: list[_Step]) -> None:
    for step in steps:
        given = [buffers.arrays.get(n, NULL) if isinstance(n, str) else n for n in step.names]
        block = (step.launch.threads, 1, 1)
        step.start(
            step.launch.grid, block, (*given, *step.rest), shared_mem=step.launch.shared_bytes
        )


class _Data:
    """The numbers of a part, and what a sample of its results must be.

    Arrays are a pool of normal numbers repeated, so that a sample of them is made without the rest.
    """

    def __init__(self, part: Part, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.form = DTYPES[part.fixed["DTYPE"]]
        shape = part.shape
        self.pool = self.form.encode(rng.standard_normal(POOL))
        self.weight_pool = self.form.encode(rng.standard_normal(POOL) / shape.depth**0.5)
        rows = sum(shape.rows)
        gather = bool(part.fixed["GATHER"])
        tokens = max(1, min(part.tokens, rows))
        self.tokens = (
            rng.permutation(np.arange(rows) % tokens) if gather else np.arange(rows)
        ).astype(np.int32)
        self.in_rows = tokens if gather else rows
        self.parts = 1 + part.fixed["FUSE_SWIGLU"]
        self.rows = np.sort(rng.permutation(rows)[:1024])
        most = max(8, min(64, 2048 // len(shape.rows)))
        self.columns = np.sort(rng.permutation(shape.columns)[:most])
        self.expected = self._expect(part)
        weights = len(shape.rows) * self.parts * shape.columns * shape.depth
        outputs = rows * shape.columns * (2 + 4 * self.parts * MOST_SPLITS)
        self.bytes = 2 * weights + 2 * self.in_rows * shape.depth + outputs

    def _expect(self, part: Part) -> Expected:
        """Of the sampled rows and columns: exact, and how far a right result may be from it."""
        shape = part.shape
        expert = np.searchsorted(shape.row_starts()[1:], self.rows, side="right")
        busy, counts = np.unique(expert, return_counts=True)
        of_part = np.concatenate([self.columns + p * shape.columns for p in range(self.parts)])
        row = busy[:, None] * (self.parts * shape.columns) + of_part
        operands = Operands(
            form=self.form,
            inputs=_rows_of(self.pool, np.arange(self.in_rows), shape.depth),
            weights=_rows_of(self.weight_pool, row, shape.depth),
            tokens=self.tokens[self.rows],
            in_scales=np.ones(self.in_rows, np.float32),
            weight_scales=np.ones(row.shape, np.float32),
        )
        small = type(shape)(
            rows=tuple(counts.tolist()), depth=shape.depth, columns=len(self.columns)
        )
        fuse = bool(part.fixed["FUSE_SWIGLU"])
        whole = slice(0, shape.depth)
        # derived: splits are each a sum of tensor cores, then as many fp32 additions.
        unit = bounds.tensor_core_sum(self.form, shape.depth) + bounds.fp32_sum(float(MOST_SPLITS))
        return finished(
            reference(*operands.numbers(), small.row_starts(), fuse),
            sums_of(operands, small, whole),
            sums_of(operands, small, whole, magnitudes=True) * unit,
            out_form(part.fixed),
        )


class _Buffers:
    """One set of arrays on the GPU."""

    def __init__(self, cupy: Any, part: Part, data: _Data) -> None:
        shape = part.shape
        rows = sum(shape.rows)
        weights = (len(shape.rows), data.parts * shape.columns, shape.depth)
        self.arrays: dict[str, Any] = {
            "in": cupy.resize(cupy.asarray(data.pool), (data.in_rows, shape.depth)),
            "weights": cupy.resize(cupy.asarray(data.weight_pool), weights),
            "out": cupy.empty((rows, shape.columns), np.uint16),
            "sums": cupy.empty(MOST_SPLITS * data.parts * rows * shape.columns, np.float32),
            "row_starts": cupy.asarray(shape.row_starts()),
        }
        if part.fixed["GATHER"]:
            self.arrays["tokens"] = cupy.asarray(data.tokens)

    def poison(self) -> None:
        self.arrays["out"].fill(0xFFFF)
        self.arrays["sums"].fill(np.nan)

    def sample(self, data: _Data) -> NDArray[Any]:
        out: NDArray[Any] = self.arrays["out"][data.rows][:, data.columns].get()
        return out


def _rows_of(pool: NDArray[Any], rows: NDArray[Any], depth: int) -> NDArray[Any]:
    """Rows of an array `[any, depth]` that is the pool repeated."""
    starts = rows.astype(np.int64) * depth
    found: NDArray[Any] = pool[(starts[..., None] + np.arange(depth)) % len(pool)]
    return found
