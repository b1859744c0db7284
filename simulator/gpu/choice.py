"""Which kernel family runs an operator of a whole model, and its constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...base import BadInput, number_format
from .fitted import UNKNOWN, Family, format_of, shipped, shipped_gpus
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
    gpu: str,
    kind: str,
    kernel: str,
    dtype: str,
    backend: str = "",
    *,
    words: Sequence[str] = ("",),
) -> Chosen:
    """The family that a framework runs for products in `dtype` on a GPU.

    kind: of table that its constants come from; kernel: the key of KERNELS. backend: a framework,
    else the first of BACKENDS with a family. words: a family's name must hold one of them, or, with
    a minus before it, not hold it; earlier words are taken first. Among several the family with
    most measurements: what the framework itself chose most. Nothing measured: the prior.
    """
    if backend and backend not in BACKENDS:
        raise BadInput(f"must be one of {', '.join(BACKENDS)}", key="--kernels", value=backend)
    families = shipped(gpu, kind).family if gpu in shipped_gpus(kind) else ()
    for framework in (backend,) if backend else BACKENDS:
        own = [one for one in families if _runs(one.name, framework, dtype)]
        for word in words:
            fitting = [one for one in own if _holds(one.name, word)]
            if fitting:
                best = max(fitting, key=_rows)
                score = best.unseen_shapes
                low, high = (score.low, score.high) if score else UNKNOWN
                return Chosen(best.name, best.constants, low, high)
    name = f"prior/{dtype}/{words[-1].removeprefix('-')}".rstrip("/")
    return Chosen(name, KERNELS[kernel].starts(name)[0], *UNKNOWN)


def _runs(family: str, framework: str, dtype: str) -> bool:
    same = number_format(format_of(family)) == number_format(dtype)
    return same and family.startswith(f"{framework}/")


def _holds(family: str, word: str) -> bool:
    return (word.removeprefix("-") in family) != word.startswith("-")


def _rows(family: Family) -> int:
    return family.unseen_shapes.rows if family.unseen_shapes else 0
