"""Which kernel family runs an operator of a whole model, and its constants."""

from __future__ import annotations

from typing import NamedTuple

from ...base import BadInput, number_format
from .fitted import UNKNOWN, shipped, shipped_gpus
from .kernels import KERNELS, AnyConstants

BACKENDS = ("trtllm", "sglang", "vllm")
"""Frameworks whose kernels have constants, in the order in which they are taken."""


class Chosen(NamedTuple):
    """A family, its constants, and the factors of its time between which 80% of the measurements
    of unseen shapes lay. A family that was never measured bears the prior."""

    family: str
    constants: AnyConstants
    low: float
    high: float


def choose(
    gpu: str, kind: str, kernel: str, dtype: str, backend: str = "", *, word: str = ""
) -> Chosen:
    """The family that a framework runs for products in `dtype` on a GPU.

    kind: of table that its constants come from; kernel: the key of KERNELS. backend: a framework,
    else the first of BACKENDS with a family. word: only families with it in their name are taken;
    with a minus before it, only those without. Among several the one with most measurements: what
    the framework itself chose most. Nothing measured: the prior of the data sheet.
    """
    if backend and backend not in BACKENDS:
        raise BadInput(f"must be one of {', '.join(BACKENDS)}", key="--kernels", value=backend)
    wanted = number_format(dtype)
    families = shipped(gpu, kind).family if gpu in shipped_gpus(kind) else ()
    for framework in (backend,) if backend else BACKENDS:
        fitting = [
            family
            for family in families
            if family.name.split("/")[0] == framework
            and number_format(family.name.split("/")[2]) == wanted
            and (word.removeprefix("-") in family.name) != word.startswith("-")
        ]
        if fitting:
            best = max(fitting, key=lambda one: one.unseen_shapes.rows if one.unseen_shapes else 0)
            score = best.unseen_shapes
            low, high = (score.low, score.high) if score else UNKNOWN
            return Chosen(best.name, best.constants, low, high)
    name = f"prior/{dtype}/{word.removeprefix('-')}"
    return Chosen(name, KERNELS[kernel].starts(name)[0], *UNKNOWN)
