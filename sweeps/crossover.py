"""Which processor runs an MoE layer fastest, over batch and number of experts."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..base import BadInput
from ..hardware import Pim
from ..hardware.load import dram_config
from ..hardware.load import system as load_system
from ..roofline import Efficiency
from ..roofline.bound import Unit
from ..simulator.memory import Demand, maps_of, sampled
from ..simulator.memory.efficiency import expert_stream
from ..simulator.step.coprocess import by_rule
from ..simulator.step.expert_time import TimeCurve
from ..simulator.step.pair import pair_of
from ..simulator.step.rates import CONTROLLER, MAP, memory_rates
from ..workload import Experts, MoEModel
from ..workload.drawn import drawn_loads
from ..workload.routed_step import capped_chances

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GPU, BANK, LOGIC, BOTH = "GPU", "Bank-PIM", "Logic-PIM", "Duplex"
ALONE = (GPU, BANK, LOGIC)


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one layer's routed experts on one device, the mean over draws: by processor,
    `[experts, batches]`. own: experts of the model itself; experts, batches: ascending."""

    model: str
    own: int
    experts: Ints
    batches: Ints
    seconds: dict[str, Floats]

    @property
    def fastest(self) -> Ints:
        """Which of `ALONE` is the fastest, `[experts, batches]`."""
        return np.asarray(np.stack([self.seconds[name] for name in ALONE]).argmin(axis=0))

    @property
    def gain(self) -> Floats:
        """How much faster Duplex is than the fastest alone: below 1 where a Bank-PIM beats it."""
        alone = np.minimum.reduce([self.seconds[name] for name in ALONE])
        return np.asarray(alone / self.seconds[BOTH])


def machines(model: MoEModel, on: str = "duplex", bank: str = "bank-pim") -> dict[str, Unit]:
    """The three processors as they read this model's experts, each at what its memory leaves it:
    the xPU and the PIM of `on`, and the PIM of `bank`."""
    pairs = []
    for name in (on, bank):
        system = load_system(name)
        device = system.devices[0]
        if not isinstance(device, Pim) or device.host is None:
            raise BadInput("is no PIM with a host to share with", key=name)
        rates = memory_rates(system, model, _of_experts(device, model))
        pairs.append(pair_of(device, rates).weights())
    (xpu, logic), (_, banks) = pairs
    assert logic is not None
    assert banks is not None
    return {GPU: xpu, BANK: banks, LOGIC: logic}


def _of_experts(device: Pim, model: MoEModel) -> Efficiency:
    """What the memory gives the host for streams of experts; nothing else is read here."""
    if device.memory.timing is None:
        raise BadInput(
            "names no timing set for its memory; it cannot be simulated", key=device.name
        )
    config = dram_config(device.memory.timing)
    controller = msgspec.structs.replace(CONTROLLER, address_map=maps_of(config)[MAP])
    found = sampled(config, controller, expert_stream(model, config, Demand()))
    return Efficiency(weights=found.share_of_peak, evidence="simulated")


def cross(
    model: MoEModel,
    units: dict[str, Unit],
    recorded: Floats,
    *,
    experts: Ints,
    batches: Ints,
    draws: int,
    seed: int,
) -> Crossing:
    """The layer's time for each number of experts and tokens, under drawn loads.

    recorded: loads `[layers, any number of experts]` whose skew is kept (`chances`); `draws`
    batches are drawn by each layer, and a larger batch holds the tokens of a smaller one.
    """
    if draws < 1 or batches.min() < 1:
        raise BadInput("must be at least 1", key="draws" if draws < 1 else "batches")
    top_k = model.experts.top_k
    seconds = {name: np.zeros((experts.size, batches.size)) for name in (*ALONE, BOTH)}
    for row, count in enumerate(experts.tolist()):
        split = regrained(model, count)
        curves = {name: TimeCurve.of(split, unit) for name, unit in units.items()}
        drawn = [
            drawn_loads(chance, top_k, int(batches.max()), draws, seed + i, running=True)
            for i, chance in enumerate(chances(recorded, count, top_k))
        ]
        loads = np.concatenate(drawn)[:, batches].reshape(-1, count)
        each = {name: curve(loads) for name, curve in curves.items()}
        busy = {name: times.sum(axis=1) for name, times in each.items()}
        busy[BOTH] = by_rule(each[GPU], each[LOGIC], loads).makespan_s
        for name, times in busy.items():
            seconds[name][row] = times.reshape(-1, batches.size).mean(axis=0)
    return Crossing(
        model=model.name,
        own=model.experts.count,
        experts=experts,
        batches=batches,
        seconds=seconds,
    )


def regrained(model: MoEModel, experts: int) -> MoEModel:
    """One layer of the model with its expert parameters cut into `experts` pieces: narrower ones
    as they get more, top_k as it is."""
    block = model.experts
    if experts < block.top_k:
        raise BadInput(
            f"must be at least the {block.top_k} that a token takes", key="experts", value=experts
        )
    inter = max(1, round(block.count * block.inter / experts))
    layer = model.layers[model.moe_layers[0]]
    assert isinstance(layer.ffn, Experts)
    cut = msgspec.structs.replace(layer.ffn, count=experts, inter=inter)
    return msgspec.structs.replace(model, layers=(msgspec.structs.replace(layer, ffn=cut),))


def around(experts: int, least: int, steps: int = 2) -> Ints:
    """Numbers of experts from a quarter to four times as many, `steps` to a doubling."""
    powers = np.arange(-2 * steps, 2 * steps + 1) / steps
    return np.unique(np.maximum(np.rint(experts * 2.0**powers), least).astype(np.int64))


def chances(recorded: Floats, experts: int, top_k: int) -> Floats:
    """The chance `[layers, experts]` that a token takes an expert, with the skew of `recorded`.

    derived: the quantile function of a recorded layer's loads, read at the middles of as many
    equal shares as there are experts, so that the popular tenth keeps its share; scaled to top_k,
    and no chance above 1.
    """
    known = np.sort(recorded, axis=1)
    middles = (np.arange(known.shape[1]) + 0.5) / known.shape[1]
    wanted = (np.arange(experts) + 0.5) / experts
    return np.stack([capped_chances(np.interp(wanted, middles, row), top_k) for row in known])
