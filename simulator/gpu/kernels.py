"""KERNELS: every kind of kernel that has a tile model, by the tag of its constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import attention, experts, gemm
from .attention import AttentionConstants
from .experts import ExpertConstants
from .gemm import GemmConstants
from .machine import Machine

Floats = NDArray[np.float64]


AnyConstants = ExpertConstants | GemmConstants | AttentionConstants
"""The constants of any kind of kernel; a file tells them apart by their tag."""


class Kernel(NamedTuple):
    """starts: family name -> constants that fits begin with, the first one the prior. terms: what
    is asked, machine, constants -> seconds `[calls]` by term."""

    starts: Callable[[str], Sequence[AnyConstants]]
    terms: Callable[[Any, Machine, Any], dict[str, Floats]]


KERNELS: dict[str, Kernel] = {
    "attention": Kernel(attention.starts, attention.attention_terms),
    "experts": Kernel(experts.starts, experts.expert_terms),
    "gemm": Kernel(gemm.starts, gemm.gemm_terms),
}
