"""What a tuner needs for the experts' kernel on this CPU: a runner, and a prediction."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...measured.cpu_layer import SHAPES, Shape
from ..library.cpu_experts import CpuShape
from ..prediction.cpu import predict
from .cpu import CpuRunner
from .isolated import Isolated

TOKENS = 64
LIMIT_S = 60.0


def cpu_tuning(
    shape: Shape = SHAPES[0], tokens: int = TOKENS, *, seed: int = 0, limit_s: float = LIMIT_S
) -> tuple[Isolated, NDArray[np.float64]]:
    """The runner in a process of its own, to be closed, and the predicted seconds `[configs]`.

    Raises BadInput for a shape that no configuration serves, and where no compiler is.
    """
    asked = CpuShape(*shape, tokens)
    runner = Isolated(partial(CpuRunner, asked, seed), limit_s)
    return runner, predict(runner.space, asked, seed).seconds
