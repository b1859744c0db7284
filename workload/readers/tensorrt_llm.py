"""TensorRT-LLM's expert statistics: a folder with meta_info.json and rank<r>.safetensors.

Written where EXPERT_STATISTIC_ITER_RANGE and EXPERT_STATISTIC_PATH are set. The tensor
"<iteration>_<layer>" holds the assignments of each expert on that rank; ranks are summed. Layers
bear their absolute numbers, prediction layers included. Files rank<r>_raw.safetensors are not read.
Source: NVIDIA/TensorRT-LLM, tensorrt_llm/_torch/expert_statistic.py and
examples/wide_ep/ep_load_balancer/utils.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ...base.files import read_bounded
from ..counts import RoutingCounts
from .asked import told
from .columns import MOST_COUNTS, built, experts_of
from .safetensors_file import read_safetensors

META = "meta_info.json"
RANK = re.compile(r"rank\d{1,6}\.safetensors")
_KEY = re.compile(r"(\d{1,9})_(\d{1,9})")


class _Meta(msgspec.Struct):
    num_experts: int
    num_experts_per_token: int | None = None


def read_tensorrt_llm(folder: str | Path) -> RoutingCounts:
    """Counts by iteration, summed over ranks; tokens where the folder tells how many each takes."""
    folder = Path(folder)
    try:
        meta = msgspec.json.decode(read_bounded(folder / META), type=_Meta)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadInput(f"is no description of statistics: {fault}", file=folder / META) from None
    experts = experts_of(meta.num_experts, folder / META)
    if meta.num_experts_per_token is not None:
        experts_of(meta.num_experts_per_token, folder / META)
    files = sorted(path for path in folder.iterdir() if RANK.fullmatch(path.name))
    if not files:
        raise BadInput(
            "holds no rank<r>.safetensors; raw statistics (rank<r>_raw) are not read", file=folder
        )
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for file in files:
        for name, values in read_safetensors(file).items():
            key = _key(name, values, experts, file)
            sums[key] = sums.get(key, np.zeros(experts)) + values
            if len(sums) * experts > MOST_COUNTS:
                raise BadInput("holds more counts than are read", file=folder)
    return _counts(folder, sums, len(files), meta.num_experts_per_token)


def _key(name: str, values: NDArray[Any], experts: int, file: Path) -> tuple[int, int]:
    match = _KEY.fullmatch(name)
    if match is None:
        raise BadInput("must be <iteration>_<layer>", file=file, key=name[:80])
    if values.shape != (experts,) or values.dtype.kind not in "iu":
        raise BadInput(
            f"needs {experts} whole numbers, got {values.dtype} {values.shape}",
            file=file,
            key=name[:80],
        )
    return int(match[1]), int(match[2])


def _counts(
    folder: Path, sums: dict[tuple[int, int], NDArray[np.float64]], ranks: int, top_k: int | None
) -> RoutingCounts:
    iterations = sorted({iteration for iteration, _ in sums})
    layers = sorted({layer for _, layer in sums})
    for iteration in iterations:
        for layer in layers:
            if (iteration, layer) not in sums:
                raise BadInput(f"lacks layer {layer} of iteration {iteration}", file=folder)
    loads = [[sums[iteration, layer] for layer in layers] for iteration in iterations]
    table = np.array(loads) if loads else np.zeros((0, 0, 0))
    return built(
        RoutingCounts,
        folder,
        loads=table,
        layers=tuple(layers),
        tokens=table.sum(axis=2).max(axis=1) / top_k if top_k and table.size else None,
        names=tuple(f"iteration {iteration}" for iteration in iterations),
        source=told(folder, f"TensorRT-LLM statistics; {ranks} ranks"),
    )
