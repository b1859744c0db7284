"""The experts' kernel on this CPU: compiled, its numbers against float64, then its time."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.evidence import Evidence
from ...hardware.device import Cpu
from ...hardware.local import local_cpu
from ...measured.clock import Timing, summary
from ..compiled import cpp
from ..compiled.compiler import NoCompiler
from ..library import cpu_experts
from ..library.cpu_experts import CpuShape
from ..library.cpu_layer import COLD, Floats, Right, draw, last_cache_bytes, panels
from ..search.runner import Trial
from ..search.space import Space

BUDGET_S = 0.2
LEAST = 3
"""Passes."""

Nanoseconds = NDArray[np.int64]
Round = Callable[[], Nanoseconds]


class _Layer(ctypes.Structure):
    """As layer.cpp has it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("inputs", "gate", "up", "down", "between", "out")),
        ("starts", ctypes.c_void_p),
        *((name, ctypes.c_long) for name in ("experts", "hidden", "inter")),
    )


class _Tasks(ctypes.Structure):
    _fields_ = (("gate_and_up", ctypes.c_void_p), ("down", ctypes.c_void_p))


class CpuRunner:
    """Times a layer of one shape. A trial's seconds are those of a round when nobody else uses the
    cores: see `_timed`. What elapsed is among its facts, and its spread is the trial's."""

    evidence: Evidence = "measured-here"

    def __init__(self, shape: CpuShape, seed: int = 0, budget_s: float = BUDGET_S) -> None:
        self.cpu = local_cpu()
        self.space = space(self.cpu, shape)
        self.shape, self.budget_s = shape, budget_s
        self.about = about(self.cpu, shape)
        self._driver = _driver()
        self._layer = draw(shape, seed, COLD * last_cache_bytes())
        self._right = Right(self._layer)
        self._laid_out: tuple[int, tuple[Floats, Floats, Floats]] | None = None

    def __call__(self, row: int) -> Trial:
        config = self.space.config(row)
        start = time.perf_counter()
        try:
            built, _ = cpp.shared_object("experts.cpp", {k: config[k] for k in cpu_experts.BUILT})
        except NoCompiler:
            raise
        except BadInput as fault:
            return Trial(config=config, status="compile", reason=str(fault))
        facts = {"compile_seconds": time.perf_counter() - start}
        pool = self._driver.layer_open(config["THREADS"])
        try:
            return self._tried(config, cpp.load(built), pool, facts)
        finally:
            self._driver.layer_close(pool)

    def _tried(
        self, config: dict[str, int], built: ctypes.CDLL, pool: Any, facts: dict[str, float]
    ) -> Trial:
        between = np.full((self.shape.rows, self.shape.inter), np.nan, np.float32)
        out = np.full((self.shape.rows, self.shape.hidden), np.nan, np.float32)
        rounds = self._rounds(config, built, pool, between, out)
        rounds[0]()
        facts["error_over_bound"] = excess = self._right.excess(between, out)
        if not excess <= 1:
            reason = f"its worst error is {excess:.3g} times what it may be"
            return Trial(config=config, status="wrong", reason=reason, facts=facts)
        taken, elapsed = _timed(rounds, self.budget_s)
        facts["elapsed_seconds"] = elapsed.median_s
        return Trial(
            config=config,
            status="ok",
            seconds=taken / config["THREADS"],
            spread=elapsed.spread,
            repeats=elapsed.repeats,
            facts=facts,
        )

    def _rounds(
        self, config: dict[str, int], built: ctypes.CDLL, pool: Any, between: Floats, out: Floats
    ) -> list[Round]:
        """A call for each round, which returns its tasks' nanoseconds; they hold on to what the
        addresses point to."""
        shape, layer = self.shape, self._layer
        weights = self._weights(cpu_experts.panel_columns(config))
        functions = built.gate_and_up, built.down
        tasks = ctypes.byref(_Tasks(*(ctypes.cast(f, ctypes.c_void_p) for f in functions)))
        sizes = shape.experts, shape.hidden, shape.inter
        held = (built, between, out, *weights)

        most = shape.experts * (shape.inter + shape.hidden) // cpu_experts.NC
        taken = np.zeros(most, np.int64)

        def run(given: _Layer, held: object) -> Nanoseconds:
            tasks_done = self._driver.layer_run(
                pool, tasks, ctypes.byref(given), config["KC"], cpu_experts.NC, taken.ctypes.data
            )
            return taken[:tasks_done].copy()

        arrays = [layer.inputs, *weights, between, out]
        return [
            partial(run, _Layer(*(a.ctypes.data for a in [*arrays, starts]), *sizes), held)
            for starts in layer.starts
        ]

    def _weights(self, columns: int) -> tuple[Floats, Floats, Floats]:
        """Gate, up and down in panels of so many columns, 0: as they come. Made before the clock
        starts, as a server would when it loads a model; the last ones are kept."""
        layer = self._layer
        if not columns:
            return layer.gate, layer.up, layer.down
        if self._laid_out is None or self._laid_out[0] != columns:
            self._laid_out = None  # first let go of the others
            gate, up, down = (panels(w, columns) for w in (layer.gate, layer.up, layer.down))
            self._laid_out = columns, (gate, up, down)
        return self._laid_out[1]


def _timed(rounds: list[Round], budget_s: float) -> tuple[float, Timing]:
    """For one round: the sum over its tasks of the least processor time that each took, in seconds,
    and the elapsed time. Over at least LEAST passes through all rounds, more within the budget.

    On a machine that others use, too, a whole layer is never left alone; each task sometimes is.
    """
    best: list[Nanoseconds] = []
    elapsed: list[int] = []
    end = time.perf_counter() + budget_s
    while len(elapsed) < LEAST or time.perf_counter() < end:
        start = time.perf_counter_ns()
        tasks = [run() for run in rounds]
        elapsed.append((time.perf_counter_ns() - start) // len(rounds))
        best = [np.minimum(a, b) for a, b in zip(best, tasks, strict=True)] if best else tasks
    return sum(int(one.sum()) for one in best) / len(rounds) / 1e9, summary(elapsed)


def space(cpu: Cpu, shape: CpuShape) -> Space:
    """What this CPU and this shape allow."""
    return Space.within(
        cpu_experts.NAME,
        cpu_experts.parameters(cpu),
        cpu_experts.CONSTRAINTS,
        cpu_experts.sizes(cpu, shape),
    )


def about(cpu: Cpu, shape: CpuShape) -> dict[str, str]:
    return {
        "kernel": cpu_experts.NAME,
        "shape": f"{shape.experts} experts of {shape.hidden} x {shape.inter}, top {shape.top_k}, "
        f"{shape.tokens} tokens, fp32",
        "device": f"{cpu.vendor}, {cpu.cores} cores",
        "compiler": cpp.version(cpp.compiler()),
    }


def _driver() -> ctypes.CDLL:
    data, _ = cpp.shared_object("layer.cpp", {})
    driver = cpp.load(data)
    driver.layer_open.argtypes, driver.layer_open.restype = [ctypes.c_long], ctypes.c_void_p
    driver.layer_close.argtypes, driver.layer_close.restype = [ctypes.c_void_p], None
    run = driver.layer_run
    run.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_long] * 2, ctypes.c_void_p]
    run.restype = ctypes.c_long
    return driver
