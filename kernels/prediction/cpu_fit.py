"""The costs of the CPU model from a few measured configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...hardware.device import Cpu
from ..library.cpu_experts import CpuShape
from .cpu import CpuCosts, predicted

Numbers = NDArray[np.float64]
PRIOR_WEIGHT = 0.1
"""Of a factor e away from the starting cost, beside the same error of one configuration: what the
sample does not tell stays where it was."""
OUTLIER = 0.1
"""Errors beyond this count less: some measurements were disturbed."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Configurations of one shape with their seconds; `starts` as they were measured with."""

    shape: CpuShape
    starts: NDArray[np.int64]
    configs: Sequence[dict[str, int]]
    seconds: Numbers

    def errors(self, cpu: Cpu, costs: CpuCosts) -> Numbers:
        """log(predicted / measured) `[configs]`."""
        found = predicted(self.configs, self.shape, self.starts, cpu, costs)
        errors: Numbers = np.log(found / self.seconds)
        return errors


def fit(samples: Sequence[Measured], cpu: Cpu, start: CpuCosts) -> CpuCosts:
    """The costs whose relative errors are least, small ones in squares."""
    from scipy.optimize import least_squares

    first = np.log(msgspec.structs.astuple(start))

    def residuals(logs: Numbers) -> Numbers:
        costs = _costs(logs)
        errors = [sample.errors(cpu, costs) for sample in samples]
        return np.concatenate([*errors, PRIOR_WEIGHT * (logs - first)])

    found: Any = least_squares(residuals, first, loss="soft_l1", f_scale=OUTLIER)
    return _costs(found.x)


def _costs(logs: Numbers) -> CpuCosts:
    return CpuCosts(**dict(zip(CpuCosts.__struct_fields__, np.exp(logs).tolist(), strict=True)))
