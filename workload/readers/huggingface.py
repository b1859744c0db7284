"""Router logits of Hugging Face models (`output_router_logits=True`) -> RoutingTrace.

Such a model returns a tuple with one `[tokens, experts]` array of raw logits for each MoE layer;
rows run over the batch, then over the sequence, padding included. Save it as
`np.savez(path, *[x.float().cpu().numpy() for x in out.router_logits])` or stacked as one
`[layers, tokens, experts]` array in a .npy.

The k largest logits are the experts, and their softmax the weights. That holds for routers that
take the top k of a softmax (Mixtral, Qwen, OLMoE, Phi). It does not for DeepSeek-style routers:
their choice adds a bias to a sigmoid and is limited to groups, neither of which is in the logits;
record the chosen ids there.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import BadInput
from ..synthetic import best_first
from ..trace import RoutingTrace
from .columns import MOST_EXPERTS, built
from .numpy_file import read_npy, read_npz


def read_router_logits(
    path: str | Path, top_k: int, *, renormalise: bool = True, layers: tuple[int, ...] | None = None
) -> RoutingTrace:
    """The trace that logits in a .npy or .npz tell.

    renormalise: weights sum to 1 over the chosen experts (Mixtral; Qwen and OLMoE where
    `norm_topk_prob`). layers: the absolute numbers of the MoE layers, else 0, 1, ...
    """
    stacked = _stacked(read_npz(path), path) if zipfile.is_zipfile(path) else read_npy(path)
    stacked = stacked[None] if stacked.ndim == 2 else stacked
    if stacked.ndim != 3 or 0 in stacked.shape or stacked.dtype.kind != "f":
        raise BadInput(
            f"needs floats [layers, tokens, experts], got {stacked.dtype} {stacked.shape}",
            file=path,
            key="router logits",
        )
    experts = stacked.shape[2]
    if not 1 <= top_k <= experts <= MOST_EXPERTS:
        raise BadInput(
            f"must lie between 1 and the {experts} experts", file=path, key="top_k", value=top_k
        )
    # The weights are computed in 32 bits.
    if not (np.abs(stacked) <= np.finfo(np.float32).max).all():
        raise BadInput(
            "holds a number that is not finite in 32 bits", file=path, key="router logits"
        )
    chosen = [_choose(layer, top_k, renormalise) for layer in stacked]
    return built(
        RoutingTrace,
        path,
        expert_ids=np.stack([ids for ids, _ in chosen], axis=1),
        weights=np.stack([weights for _, weights in chosen], axis=1),
        experts=experts,
        layers=tuple(range(len(stacked))) if layers is None else layers,
        source=Path(path).name,
    )


def _choose(
    logits: NDArray[Any], top_k: int, renormalise: bool
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Ids and weights `[tokens, k]` of one layer, best first."""
    logits = logits.astype(np.float32)
    best = best_first(logits, top_k)
    # The largest is taken off before the exponential, so that none overflows.
    top = logits.max(axis=1, keepdims=True)
    share = np.exp(np.take_along_axis(logits, best, axis=1) - top)
    whole = share if renormalise else np.exp(logits - top)
    weights = share / whole.sum(axis=1, keepdims=True)
    return best.astype(np.int16), weights.astype(np.float32)


def _stacked(arrays: dict[str, NDArray[Any]], path: str | Path) -> NDArray[Any]:
    """One array a layer, ordered by the numbers in their names; or the only array as it is."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    names = sorted(arrays, key=lambda name: [int(part) for part in re.findall(r"\d{1,9}", name)])
    rows = [arrays[name] for name in names]
    if not rows or any(row.ndim != 2 or row.shape != rows[0].shape for row in rows):
        raise BadInput(
            "needs one [tokens, experts] array of the same shape for each layer",
            file=path,
            key="router logits",
        )
    return np.stack(rows)
