"""A model on a system, split one way, as flat records of numbers that compiled code can walk."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import number_format
from ..hardware import System
from ..workload import (
    Dense,
    ExpertMap,
    Experts,
    Gqa,
    Layer,
    LinearAttention,
    Mamba,
    Mla,
    MoEModel,
    Parallel,
)
from .crossings import TIER, Exchange, crossings
from .machines import COMPUTED, record
from .operators import check

GQA, MLA, LINEAR, MAMBA = range(4)
"""Kinds of mixer in a record."""

_KIND: dict[type, int] = {Gqa: GQA, Mla: MLA, LinearAttention: LINEAR, Mamba: MAMBA}


MIXER = record(
    "kind", "heads", "kv_heads", "head_dim", "window", "causal", "cross", "q_rank", "kv_rank",
    "nope_dim", "rope_dim", "v_dim", "inner", "state", "conv", "dt_rank",
)  # fmt: skip
LAYER = record(
    "mixers", "encoder", "dense_inter", "matrices_in", "experts", "top_k", "expert_inter",
    "shared_inter", "beside_inter",
)  # fmt: skip
SHAPE = record(
    "hidden", "vocab", "two_stacks", "tp", "dp", "ep", "expert_tp", "local_experts", "full_groups",
    "size_weights", "size_experts", "size_head", "size_kv", "size_activations",
    "groups", "stages", "tiers", "embedding",
)  # fmt: skip
MULTIPLIED = ("weights", "experts", "head", "activations")
"""The parts of a model whose formats decide at which peak an operator runs."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same while batch and lengths change. chance, expert_map: as of
    `make_step` and `operators`; uniform routing and contiguous experts where None."""

    model: MoEModel
    system: System
    parallel: Parallel = Parallel()
    chance: NDArray[np.float64] | None = None
    expert_map: ExpertMap | None = None


class Shapes(msgspec.Struct, frozen=True, kw_only=True):
    """Models split over tiers of devices, whatever these devices and links are: padded arrays.

    shape `[shapes]`, layer `[shapes, groups]`, mixer `[shapes, groups, 2]`, tier `[shapes, tiers]`:
    records. counts `[shapes, stages, groups]`: layers of each group in each stage. format
    `[shapes, MULTIPLIED]`: columns of `Machines.peak`. chance, others, alike: of
    `crossings.Exchange`.
    """

    shape: NDArray[np.void]
    layer: NDArray[np.void]
    mixer: NDArray[np.void]
    tier: NDArray[np.void]
    counts: NDArray[np.float64]
    format: NDArray[np.int64]
    chance: NDArray[np.float64]
    others: NDArray[np.float64]
    alike: NDArray[np.float64]


def regular(setup: Setup) -> bool:
    """Whether routing is uniform, experts are contiguous, all devices are alike and all stages
    cross the tiers alike, as `points` needs."""
    if setup.chance is not None or setup.expert_map is not None:
        return False
    devices, parallel = setup.system.devices, setup.parallel
    if any(device is not devices[0] and device != devices[0] for device in devices):
        return False
    width, n = 1, parallel.stage_devices
    for tier in setup.system.tiers:
        width *= tier.size
        whole_stages = parallel.pp == 1 or width % n == 0 or n % width == 0
        whole_replicas = width % parallel.tp == 0 or parallel.tp % width == 0
        if not (whole_stages and whole_replicas):
            return False
    if setup.model.two_stacks and parallel.pp > 1:
        return False
    blocks = (layer.ffn for layer, _ in setup.model.groups)
    return len({(ffn.count, ffn.top_k) for ffn in blocks if isinstance(ffn, Experts)}) == 1


def flatten(setups: Sequence[Setup]) -> Shapes:
    """The shapes of regular setups. Raises BadInput where a split does not fit its model."""
    k = len(setups)
    groups = max(len(setup.model.groups) for setup in setups)
    stages = max(setup.parallel.pp for setup in setups)
    tiers = max(max(len(setup.system.tiers) for setup in setups), 1)
    shape, tier = np.zeros(k, SHAPE), np.zeros((k, tiers), TIER)
    layer, mixer = np.zeros((k, groups), LAYER), np.zeros((k, groups, 2), MIXER)
    counts, form = np.zeros((k, stages, groups)), np.zeros((k, len(MULTIPLIED)), np.int64)
    exchange, seen = Exchange(), dict[int, int]()
    for i, setup in enumerate(setups):
        model, parallel = setup.model, setup.parallel
        check(model, setup.system, parallel)
        first = seen.setdefault(id(model), i)
        if first == i:
            _fill_model(shape[i], layer[i], mixer[i], form[i], model)
        else:
            for column in (shape, layer, mixer, form):
                column[i] = column[first]
        _fill_split(shape[i], model, parallel, len(setup.system.tiers))
        counts[i] = _counts(model, parallel, stages, groups)
        crossed = crossings(parallel, [tier.size for tier in setup.system.tiers])
        exchange.fill(crossed, model.experts.count, model.experts.top_k, parallel)
        tier[i, : crossed.size] = crossed
    chance, others, alike = exchange.arrays()
    return Shapes(
        shape=shape, layer=layer, mixer=mixer, tier=tier, counts=counts, format=form,
        chance=chance, others=others, alike=alike,
    )  # fmt: skip


def _fill_model(
    shape: np.void,
    layers: NDArray[np.void],
    mixers: NDArray[np.void],
    form: NDArray[np.int64],
    model: MoEModel,
) -> None:
    formats = model.formats
    shape["hidden"], shape["vocab"] = model.hidden, model.vocab
    shape["two_stacks"], shape["groups"] = model.two_stacks, len(model.groups)
    for part in ("weights", "experts", "head", "kv", "activations"):
        shape[f"size_{part}"] = number_format(getattr(formats, part)).bytes_per_element
    for column, part in enumerate(MULTIPLIED):
        form[column] = COMPUTED.index(number_format(getattr(formats, part)).compute)
    for g, (layer, _) in enumerate(model.groups):
        row = layers[g]
        row["mixers"], row["encoder"] = len(layer.mixers), layer.side == "encoder"
        row["matrices_in"] = 2 if layer.ffn.gated else 1
        for name, value in _ffn(layer).items():
            row[name] = value
        for j, mixer in enumerate(layer.mixers):
            mixers[g, j]["kind"] = _KIND[type(mixer)]
            for name in mixer.__struct_fields__:
                if name in _MIXED and (value := getattr(mixer, name)) is not None:
                    mixers[g, j][name] = value


_MIXED = frozenset(MIXER.names or ())


def _ffn(layer: Layer) -> dict[str, float]:
    if isinstance(layer.ffn, Dense):
        return {"dense_inter": layer.ffn.inter}
    block = layer.ffn
    return {
        "experts": block.count,
        "top_k": block.top_k,
        "expert_inter": block.inter,
        "shared_inter": block.shared_inter,
        "beside_inter": block.dense_inter,
    }


def _fill_split(shape: np.void, model: MoEModel, parallel: Parallel, tiers: int) -> None:
    """local_experts: of the first `full_groups` groups; the others hold one less. embedding: bytes
    of the table on each device of the first stage, where the output head is not the same table."""
    whole, more = divmod(model.experts.count, parallel.ep)
    shape["tp"], shape["dp"], shape["ep"] = parallel.tp, parallel.dp, parallel.ep
    shape["stages"], shape["tiers"], shape["expert_tp"] = parallel.pp, tiers, parallel.expert_tp
    shape["local_experts"] = whole + (more > 0)
    shape["full_groups"] = more or parallel.ep
    held = not (model.tied and parallel.pp == 1)
    shape["embedding"] = held * model.vocab * model.hidden / parallel.tp * shape["size_head"]


def _counts(model: MoEModel, parallel: Parallel, stages: int, groups: int) -> NDArray[np.float64]:
    """Layers of each group in each stage: `[stages, groups]`."""
    out = np.zeros((stages, groups))
    runs = parallel.stages(len(model.layers))
    starts = np.array([run.start for run in runs])
    for g, (_, numbers) in enumerate(model.groups):
        stage = np.searchsorted(starts, numbers, side="right") - 1
        out[: len(runs), g] = np.bincount(stage, minlength=len(runs))
    return out
