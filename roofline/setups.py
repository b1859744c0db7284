"""A model on a system, split one way, as flat records of numbers that compiled code can walk."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import number_format
from ..hardware import Cpu, Gpu, Link, System
from ..workload import (
    Dense,
    Experts,
    Gqa,
    Layer,
    LinearAttention,
    Mamba,
    Mla,
    MoEModel,
    Parallel,
    contiguous,
)
from .experts import distinct_groups
from .fit import resident
from .links import group_link
from .operators import check
from .prices import peaks, units

GQA, MLA, LINEAR, MAMBA = range(4)
"""Kinds of mixer in a record."""

_KIND: dict[type, int] = {Gqa: GQA, Mla: MLA, LinearAttention: LINEAR, Mamba: MAMBA}


def _record(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.float64) for name in names])


MIXER = _record(
    "kind", "heads", "kv_heads", "head_dim", "window", "causal", "cross", "q_rank", "kv_rank",
    "nope_dim", "rope_dim", "v_dim", "inner", "state", "conv", "dt_rank",
)  # fmt: skip
LAYER = _record(
    "mixers", "encoder", "dense_inter", "matrices_in", "experts", "top_k", "expert_inter",
    "shared_inter", "beside_inter",
)  # fmt: skip
UNIT = _record(
    "bandwidth", "cache", "cache_bandwidth",
    "peak_weights", "peak_experts", "peak_head", "peak_activations",
)  # fmt: skip
SETUP = _record(
    "hidden", "vocab", "two_stacks", "tp", "dp", "ep", "expert_tp", "local_experts", "units",
    "size_weights", "size_experts", "size_head", "size_kv", "size_activations",
    "reduce_s_per_byte", "reduce_latency", "gather_stage_s_per_byte", "gather_stage_latency",
    "send_s_per_byte", "send_latency", "exchange_latency", "groups", "stages", "tiers",
)  # fmt: skip


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same while batch and lengths change."""

    model: MoEModel
    system: System
    parallel: Parallel = Parallel()


class Flat(msgspec.Struct, frozen=True, kw_only=True):
    """Setups as arrays, padded to the largest of each kind.

    setup `[setups]`, unit `[setups, 2]`, layer `[setups, groups]`, mixer `[setups, groups, 2]`:
    records. counts `[setups, stages, groups]`: layers of each group in each stage. resident,
    capacity `[setups, stages]`: bytes on the stage's first device. chance `[setups, tiers,
    devices]`: that a token needs the device's unit (itself, its node) in a tier; others: the sum
    of that chance over the units which the tier joins and which hold no device of its replica;
    inner, outer `[setups, tiers]`: devices of a unit and of the group that the tier joins; rate
    `[setups, tiers]`: bytes/s of its links. Both chances are those of the first group alone,
    which has the most tokens and experts.
    """

    setup: NDArray[np.void]
    unit: NDArray[np.void]
    layer: NDArray[np.void]
    mixer: NDArray[np.void]
    counts: NDArray[np.float64]
    resident: NDArray[np.float64]
    capacity: NDArray[np.float64]
    chance: NDArray[np.float64]
    others: NDArray[np.float64]
    inner: NDArray[np.int64]
    outer: NDArray[np.int64]
    rate: NDArray[np.float64]


def regular(setup: Setup) -> bool:
    """Whether all devices are alike and all stages cross the tiers alike, as `points` needs."""
    devices, parallel = setup.system.devices, setup.parallel
    if any(device is not devices[0] and device != devices[0] for device in devices):
        return False
    width, n = 1, parallel.stage_devices
    for tier in setup.system.tiers:
        width *= tier.size
        whole_stages = parallel.pp == parallel.ep == 1 or width % n == 0 or n % width == 0
        whole_replicas = width % parallel.tp == 0 or parallel.tp % width == 0
        if not (whole_stages and whole_replicas):
            return False
    if setup.model.two_stacks and parallel.pp > 1:
        return False
    kinds = {layer.ffn.count for layer, _ in setup.model.groups if isinstance(layer.ffn, Experts)}
    return len(kinds) == 1


def flatten(setups: Sequence[Setup]) -> Flat:
    """The records of regular setups. Raises BadInput where a split does not fit its model."""
    k = len(setups)
    groups = max(len(setup.model.groups) for setup in setups)
    stages = max(setup.parallel.pp for setup in setups)
    tiers = max(max(len(setup.system.tiers) for setup in setups), 1)
    most = max(setup.parallel.stage_devices for setup in setups)
    flat = Flat(
        setup=np.zeros(k, SETUP),
        unit=np.zeros((k, 2), UNIT),
        layer=np.zeros((k, groups), LAYER),
        mixer=np.zeros((k, groups, 2), MIXER),
        counts=np.zeros((k, stages, groups)),
        resident=np.zeros((k, stages)),
        capacity=np.full((k, stages), np.inf),
        chance=np.zeros((k, tiers, most)),
        others=np.zeros((k, tiers, most)),
        inner=np.ones((k, tiers), np.int64),
        outer=np.ones((k, tiers), np.int64),
        rate=np.ones((k, tiers)),
    )
    for i, setup in enumerate(setups):
        check(setup.model, setup.system, setup.parallel)
        _fill_setup(flat, i, setup)
        _fill_units(flat, i, setup)
        _fill_layers(flat, i, setup)
        _fill_memory(flat, i, setup)
        _fill_exchange(flat, i, setup)
    return flat


def _fill_setup(flat: Flat, i: int, setup: Setup) -> None:
    model, system, parallel = setup.model, setup.system, setup.parallel
    one = np.ones(parallel.stage_devices)
    formats = model.formats
    values: dict[str, float] = {
        "hidden": model.hidden,
        "vocab": model.vocab,
        "two_stacks": model.two_stacks,
        "tp": parallel.tp,
        "dp": parallel.dp,
        "ep": parallel.ep,
        "expert_tp": parallel.expert_tp,
        "local_experts": -(-model.experts.count // parallel.ep),
        "units": len(units(system.devices[0])),
        "groups": len(model.groups),
        "stages": parallel.pp,
        "tiers": len(system.tiers),
    }
    for part in ("weights", "experts", "head", "kv", "activations"):
        values[f"size_{part}"] = number_format(getattr(formats, part)).bytes_per_element
    rates = np.array([tier.link.bandwidth_bytes_per_s for tier in system.tiers] or [1.0])
    for key, ranks, kind in (
        ("reduce", parallel.tp, "all-reduce"),
        ("gather_stage", parallel.stage_devices, "all-gather"),
    ):
        link, latency_s = group_link(system, 0, ranks, one, kind)
        values[f"{key}_s_per_byte"] = float((link / rates[: link.shape[1]]).max(initial=0.0))
        values[f"{key}_latency"] = latency_s
    for stage in range(1, parallel.pp):
        link_of: Link = system.tier(
            (stage - 1) * parallel.stage_devices, stage * parallel.stage_devices
        ).link
        values["send_s_per_byte"] = (
            values.get("send_s_per_byte", 0.0) + 1 / link_of.bandwidth_bytes_per_s
        )
        values["send_latency"] = values.get("send_latency", 0.0) + link_of.latency_s
    for name, value in values.items():
        flat.setup[i][name] = value


def _fill_units(flat: Flat, i: int, setup: Setup) -> None:
    formats = setup.model.formats
    for j, unit in enumerate(units(setup.system.devices[0])):
        row = flat.unit[i, j]
        row["bandwidth"] = unit.bandwidth_bytes_per_s
        cache = unit.device.cache if isinstance(unit.device, Gpu | Cpu) else None
        row["cache"] = cache.capacity_bytes if cache else 0.0
        row["cache_bandwidth"] = np.inf if cache is None else cache.bandwidth_bytes_per_s or np.inf
        for part in ("weights", "experts", "head", "activations"):
            row[f"peak_{part}"] = peaks(setup.system.devices[0], getattr(formats, part))[j]


def _fill_layers(flat: Flat, i: int, setup: Setup) -> None:
    stages = setup.parallel.stages(len(setup.model.layers))
    for g, (layer, numbers) in enumerate(setup.model.groups):
        for s, stage in enumerate(stages):
            flat.counts[i, s, g] = sum(number in stage for number in numbers)
        row = flat.layer[i, g]
        row["mixers"], row["encoder"] = len(layer.mixers), layer.side == "encoder"
        row["matrices_in"] = 2 if layer.ffn.gated else 1
        for name, value in _ffn(layer).items():
            row[name] = value
        for j, mixer in enumerate(layer.mixers):
            record = flat.mixer[i, g, j]
            record["kind"] = _KIND[type(mixer)]
            for name in MIXER.names or ():
                shape = getattr(mixer, name, None)
                if shape is not None and name != "kind":
                    record[name] = shape


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


def _fill_memory(flat: Flat, i: int, setup: Setup) -> None:
    parallel, system = setup.parallel, setup.system
    first = np.arange(parallel.pp) * parallel.stage_devices
    flat.resident[i, : parallel.pp] = resident(setup.model, system, parallel)[first]
    flat.capacity[i, : parallel.pp] = system.devices[0].memory.capacity_bytes


def _fill_exchange(flat: Flat, i: int, setup: Setup) -> None:
    """Who needs whom in the exchange of tokens; see `links.expert_link` for the rule."""
    system, parallel, block = setup.system, setup.parallel, setup.model.experts
    n = parallel.stage_devices
    local = np.bincount(contiguous(block.count, parallel.ep, (0,)).ranks)
    group = np.arange(n) // parallel.expert_tp
    inner = 1
    for t, tier in enumerate(system.tiers):
        outer = inner * tier.size
        flat.inner[i, t], flat.outer[i, t] = inner, outer
        flat.rate[i, t] = tier.link.bandwidth_bytes_per_s
        joined, block_size = min(n, outer), max(inner, parallel.tp)
        if block_size < joined and parallel.ep > 1:
            heads = np.arange(0, joined, inner)
            for device in heads.tolist():
                held = int(local[np.unique(group[device : device + inner])].sum())
                flat.chance[i, t, device] = distinct_groups(block.count, held, block.top_k)
            for device in heads.tolist():
                far = heads[heads // block_size != device // block_size]
                flat.others[i, t, device] = flat.chance[i, t, far].sum()
            late = float(flat.setup[i]["exchange_latency"])
            flat.setup[i]["exchange_latency"] = max(late, tier.link.latency_s)
        inner = outer
