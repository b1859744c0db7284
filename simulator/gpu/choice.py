"""Which kernel family runs an operator of a whole model, and its constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...base import BadInput, number_format
from .fitted import UNKNOWN, Family, format_of, shipped, shipped_gpus
from .kernels import KERNELS, AnyConstants

BACKENDS = ("trtllm", "sglang", "vllm")
"""Frameworks whose kernels have constants, in the order in which they are taken."""


TILED_GROUPS = {"trtllm/torch_flow/bf16": (2, 32), "sglang/flashinfer/bf16/kv-bf16": (4, 10**6)}
"""Heads that share keys, from and to, where decode runs on tensor cores; other groups have a kernel
of their own, without. TensorRT-LLM: XQA beside masked attention; FlashInfer in SGLang: only 16-bit
caches have both. By the start of the family's name, read off the steps in the tables."""


def decodes_by_tiles(family: str, group: float) -> bool:
    """Whether decode of so many heads that share keys runs on tensor cores, in the kernels whose
    family's name starts so: it is then the family 'gqa-decode', else 'heads-decode'."""
    for start, (least, most) in TILED_GROUPS.items():
        if family.startswith(f"{start}/"):
            return least <= group <= most
    return True


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
    group: float = 0,
) -> Chosen:
    """The family that a framework runs for products in `dtype` on a GPU.

    kind: of table that its constants come from; kernel: the key of KERNELS. backend: a framework,
    else the first of BACKENDS with a family. words: a family's name must hold one of them, or, with
    a minus before it, not hold it; earlier words are taken first. Among several the family with
    most measurements: what the framework itself chose most. group: heads that share keys, for
    decode; families that decode other groups are passed by. Nothing measured: the prior.
    """
    if backend and backend not in BACKENDS:
        raise BadInput(f"must be one of {', '.join(BACKENDS)}", key="--kernels", value=backend)
    families = shipped(gpu, kind).family if gpu in shipped_gpus(kind) else ()
    for framework in (backend,) if backend else BACKENDS:
        own = [one for one in families if _runs(one.name, framework, dtype)]
        own = [one for one in own if _decodes(one.name, group)]
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


def _decodes(family: str, group: float) -> bool:
    kind = family.rpartition("/")[2]
    if not group or kind not in ("gqa-decode", "heads-decode"):
        return True
    return decodes_by_tiles(family, group) == (kind == "gqa-decode")


def _holds(family: str, word: str) -> bool:
    return (word.removeprefix("-") in family) != word.startswith("-")


def _rows(family: Family) -> int:
    return family.unseen_shapes.rows if family.unseen_shapes else 0
