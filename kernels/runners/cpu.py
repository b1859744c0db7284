"""The experts' kernel on this CPU: compiled, its numbers against float64, then its time."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...base import BadInput
from ...base.evidence import Evidence
from ...hardware.device import Cpu
from ...hardware.local import local_cpu
from ...measured.clock import Timing, summary
from ..compiled import cpp
from ..library import cpu_experts
from ..library.cpu_experts import CpuShape
from ..library.cpu_layer import Floats, Right, draw, last_cache_bytes, panels
from ..search.space import Space
from .runner import Trial

BUDGET_S = 0.2
LEAST = 3
COLD = 2
"""Last caches that are read between two uses of a weight."""


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
    """Times a layer of one shape. A trial's seconds: the median of passes over all rounds, within
    budget_s, divided by the rounds."""

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
        except cpp.NoCompiler:
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
            seconds=taken.median_s,
            spread=taken.spread,
            repeats=taken.repeats,
            facts=facts,
        )

    def _rounds(
        self, config: dict[str, int], built: ctypes.CDLL, pool: Any, between: Floats, out: Floats
    ) -> list[Callable[[], float]]:
        """A call for each round; they hold on to what the addresses point to."""
        shape, layer = self.shape, self._layer
        weights = self._weights(cpu_experts.panel_columns(config))
        tasks = _Tasks(
            *(ctypes.cast(one, ctypes.c_void_p) for one in (built.gate_and_up, built.down))
        )
        sizes = shape.experts, shape.hidden, shape.inter
        held = (built, between, out, *weights)

        def run(given: _Layer, held: object) -> float:
            return self._driver.layer_run(
                pool, ctypes.byref(tasks), ctypes.byref(given), config["KC"], config["NC"]
            )

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


def _timed(rounds: list[Callable[[], float]], budget_s: float) -> tuple[Timing, Timing]:
    """Processor time of a thread and elapsed time for a round, over passes through all rounds: one
    to warm up, then LEAST or what fits the budget."""
    worked: list[int] = []
    elapsed: list[int] = []
    end = time.perf_counter() + budget_s
    while len(worked) <= LEAST or time.perf_counter() < end:
        start = time.perf_counter_ns()
        seconds = sum(run() for run in rounds) / len(rounds)
        elapsed.append((time.perf_counter_ns() - start) // len(rounds))
        worked.append(round(seconds * 1e9))
    return summary(worked[1:]), summary(elapsed[1:])


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
        "compiler": " ".join(cpp.compiler()[:1]),
    }


def _driver() -> ctypes.CDLL:
    data, _ = cpp.shared_object("layer.cpp", {})
    driver = cpp.load(data)
    driver.layer_open.argtypes, driver.layer_open.restype = [ctypes.c_long], ctypes.c_void_p
    driver.layer_close.argtypes, driver.layer_close.restype = [ctypes.c_void_p], None
    run = driver.layer_run
    run.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_long] * 2]
    run.restype = ctypes.c_double
    return driver
