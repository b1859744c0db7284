"""Prediction only: a runner that compiles a configuration, counts what it does, and computes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ...base import BadInput
from ...base.evidence import Evidence
from ...hardware import AnyDevice
from ...simulator.gpu import Machine
from ..compiled.arches import arch_of, number
from ..compiled.build import build
from ..compiled.compiler import NoCompiler
from ..compiled.profile import profile
from ..library import Config, Kernel
from ..library.grouped_gemm import GROUPED_GEMM
from ..library.part import Part
from ..search.runner import Trial
from ..search.space import Space
from .counts import Array, closed, of_profiles
from .fit import Fit, shipped
from .grouped import LIMITERS, predict


def space_of(part: Part, architecture: str) -> Space:
    """Every configuration that can serve the part on the architecture. Raises BadInput, naming the
    rule, where there is none."""
    return free_space(part.kernel, part.fixed, architecture, part.kernel.sizes(part.shape))


def free_space(kernel: Kernel, fixed: Config, architecture: str, sizes: Mapping[str, int]) -> Space:
    """The macros that `fixed` leaves free. sizes: of a shape; the rules about those that are not
    given do not count."""
    free = {name: v for name, v in kernel.parameters.items() if name not in fixed}
    given = {**fixed, **sizes, "ARCH": number(architecture)}
    return Space.within(kernel.name, free, kernel.constraints, given)


class PredictedPart:
    """Seconds of a part on a catalogue GPU (simulated), by the constants `fit`; facts hold the
    share of each limiter and the interval. Needs NVRTC, and no GPU."""

    evidence: Evidence = "simulated"

    def __init__(
        self, part: Part, device: AnyDevice, space: Space | None = None, fit: Fit | None = None
    ) -> None:
        if part.kernel is not GROUPED_GEMM:
            raise BadInput(
                f"no model predicts it; {GROUPED_GEMM.name} has one. With a GPU: --on local",
                key="kernel",
                value=part.kernel.name,
            )
        self.part, self.device = part, device
        self.arch = arch_of(device)
        self.space = space_of(part, self.arch) if space is None else space
        self.fit = shipped(device.name) if fit is None else fit
        self._machine = Machine.of(device, "bf16")
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._expected: list[int] = []
        self._begun: dict[int, Future[Trial]] = {}

    @property
    def about(self) -> dict[str, str]:
        return {
            "kernel": self.part.kernel.name,
            "work": self.part.name,
            "gpu": self.device.name,
            "arch": self.arch,
            "constants": f"of {self.fit.gpu}; {self.fit.data}",
        }

    def ranked(self) -> Array:
        """Seconds of all configurations `[configs]`, without compiling one."""
        macros = [{**self.space.config(row), **self.part.fixed} for row in range(len(self.space))]
        counts = closed(macros, self.arch)
        return predict(counts, self.part.shape, self._machine, self.fit.constants).seconds

    def expect(self, rows: Iterable[int]) -> None:
        """What will be asked for: from the first call on, threads work ahead on it."""
        self._expected = list(rows)

    def close(self) -> None:
        """Drops what is begun."""
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, row: int) -> Trial:
        for wanted in (row, *self._expected):
            if wanted not in self._begun:
                self._begun[wanted] = self._pool.submit(self._tried, wanted)
        return self._begun[row].result()

    def _tried(self, row: int) -> Trial:
        config = self.space.config(row)
        macros = {**config, **self.part.fixed}
        try:
            made = build(self.part.kernel, macros, self.arch)
            counted = profile(self.part.kernel, made)
        except NoCompiler:
            raise
        except BadInput as fault:
            return Trial(config=config, status="compile", reason=str(fault))
        if counted.blocks < 1:
            return Trial(config=config, status="refused", reason="no block of it fits on an SM")
        found = predict(
            of_profiles([macros], [counted]), self.part.shape, self._machine, self.fit.constants
        )
        seconds = float(found.seconds[0])
        shares = dict(zip(LIMITERS, np.round(found.shares[0], 4).tolist(), strict=True))
        return Trial(
            config=config,
            status="ok",
            seconds=seconds,
            facts={
                **shares,
                "low_s": seconds * self.fit.low,
                "high_s": seconds * self.fit.high,
                "registers": float(counted.registers),
                "blocks": float(counted.blocks),
            },
        )


def binding(trial: Trial) -> str:
    """What takes longest by itself; nothing where the trial was not predicted."""
    known = [name for name in LIMITERS if name in trial.facts]
    return max(known, key=lambda name: trial.facts[name]) if known else ""
