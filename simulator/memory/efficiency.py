"""Efficiency of a memory: the share of its peak that a model's streams reach, by simulation."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...base import BadInput, Count, Spec, unknown
from ...hardware import System
from ...hardware.dram import DramConfig
from ...hardware.load import dram_config
from ...roofline import Efficiency
from ...workload import MoEModel
from .controller import Controller
from .kept import kept
from .layouts import Expert, Reading, expert_runs, stacked
from .maps import maps_of
from .run import simulate
from .streams import Runs, Tiles, activations, has_cache, paged_kv

PARTS = 16
"""Parts of a stream in the first sample."""
PART_INTERVALS = 0.25
"""Refresh intervals that a part lasts at the memory's peak."""
MOVES = 0.005
"""Most that the rate may have moved when the sample was last doubled."""
MOST_DOUBLINGS = 4
STEADY = (0.1, 0.9)
"""Shares of the sample between which a rate is taken: without filling and emptying the queues."""


class Sampled(Spec, frozen=True, kw_only=True):
    """What a steady stream gets of a memory.

    moved: how far the rate moved, relatively, when the sample was last doubled; 0 where it is the
    whole stream.
    """

    share_of_peak: float
    row_hit_rate: float
    energy_j_per_bit: float | None
    requests: Count
    moved: float


class Demand(Spec, frozen=True, kw_only=True):
    """How kernels read a model's experts, caches and activations.

    readers: at once, each `tile_bytes` in turn (thread blocks and their copies); layout: of
    `LAYOUTS`; requests decode at `context` cached tokens in pages of `page_tokens`.
    """

    readers: Count = 16
    tile_bytes: Count = 2048
    layout: str = "split"
    requests: Count = 64
    context: Count = 4096
    page_tokens: Count = 16
    seed: int = 0


def expert_stream(model: MoEModel, config: DramConfig, demand: Demand) -> Runs:
    """The experts of one layer, one block behind the other, as many as the memory holds."""
    return expert_bytes_stream(Expert.of(model), model.experts.count, config, demand)


def expert_bytes_stream(expert: Expert, count: int, config: DramConfig, demand: Demand) -> Runs:
    """`count` experts, one block behind the other, or as many as the memory holds."""
    aligned = int(stacked(2, expert.bytes)[1])
    count = min(count, config.capacity_bytes // aligned)
    if not count:
        raise BadInput(
            f"of {expert.bytes} bytes does not fit {config.capacity_bytes}", key=config.name
        )
    wanted = -(-_most_bytes(config) // expert.bytes)
    reading = Reading(
        bases=stacked(count, expert.bytes),
        touched=np.arange(min(count, -(-wanted // demand.readers) * demand.readers)),
        readers=demand.readers,
        tile_bytes=demand.tile_bytes,
        regions=config.channels * config.pseudo_channels,
        capacity_bytes=config.capacity_bytes,
    )
    return expert_runs(expert, reading, demand.layout)


def kv_stream(model: MoEModel, config: DramConfig, demand: Demand) -> Runs:
    """Pages of one layer's cache at random in the memory."""
    return paged_kv(
        model,
        requests=demand.requests,
        context=demand.context,
        page_tokens=demand.page_tokens,
        pool_bytes=config.capacity_bytes,
        readers=demand.readers,
        tile_bytes=demand.tile_bytes,
        seed=demand.seed,
    )


def activation_stream(model: MoEModel, config: DramConfig, demand: Demand) -> Runs:
    """Hidden states read and written in turns, more of them than a sample needs."""
    bytes_of_one = activations(model, tokens=1, start=0, readers=1, tile_bytes=1 << 30).bytes
    return activations(
        model,
        tokens=-(-_most_bytes(config) // bytes_of_one),
        start=0,
        readers=demand.readers,
        tile_bytes=demand.tile_bytes,
    )


def _part_bytes(config: DramConfig) -> int:
    interval_s = config.timing["tREFI"] / config.timing.clock_hz
    return int(config.peak_bandwidth_bytes_per_s * interval_s * PART_INTERVALS)


def _most_bytes(config: DramConfig) -> int:
    return _part_bytes(config) * PARTS << MOST_DOUBLINGS


def sampled(config: DramConfig, controller: Controller, runs: Runs) -> Sampled:
    """The steady rate of a stream: of parts spread over it, twice as many until the rate moves no
    more than `MOVES`. Kept in the cache folder under the content of all that it depends on."""
    tiles = runs.sample(PARTS, _part_bytes(config))
    return kept(
        "memory",
        Sampled,
        lambda: _measured(config, controller, runs),
        *(msgspec.json.encode(part) for part in (config, controller)),
        *(column.tobytes() for column in (tiles.base, tiles.size, tiles.write)),
        f"{runs.bytes} {PARTS} {PART_INTERVALS} {MOVES} {MOST_DOUBLINGS} {STEADY}",
    )


def _measured(
    config: DramConfig,
    controller: Controller,
    runs: Runs,
    doubling: int = 0,
    before: Sampled | None = None,
) -> Sampled:
    tiles = runs.sample(PARTS << doubling, _part_bytes(config))
    made = _once(config, controller, tiles)
    if int(tiles.size.sum()) == runs.bytes:
        return made
    if before is not None:
        moved = abs(made.share_of_peak / before.share_of_peak - 1)
        made = msgspec.structs.replace(made, moved=moved)
        if moved <= MOVES or doubling == MOST_DOUBLINGS:
            return made
    return _measured(config, controller, runs, doubling + 1, made)


def _once(config: DramConfig, controller: Controller, tiles: Tiles) -> Sampled:
    access = config.organisation.access_bytes
    requests = tiles.requests(access)
    done = simulate(config, controller, requests)
    rate = _steady(np.sort(done.finish_cycles), config.timing["tREFI"])
    peak = config.peak_bandwidth_bytes_per_s / config.timing.clock_hz
    joules = done.energy_j
    return Sampled(
        share_of_peak=min(1.0, rate * access / peak),
        row_hit_rate=done.row_hit_rate,
        energy_j_per_bit=None if joules is None else joules / (8 * access * len(requests)),
        requests=len(requests),
        moved=0.0,
    )


def _steady(finish: NDArray[np.float64], interval: int) -> float:
    """Requests a cycle in the steady part, over whole refresh intervals; over everything where the
    sample is too short for one. finish: cycles `[requests]`, ascending."""
    begin, end = (float(finish[int(share * (finish.size - 1))]) for share in STEADY)
    cycles = int((end - begin) // interval) * interval
    if not cycles:
        return finish.size / float(finish[-1])
    first, last = np.searchsorted(finish, [begin, begin + cycles])
    return float(last - first) / cycles


def memory_efficiency(
    config: DramConfig,
    controller: Controller,
    model: MoEModel,
    demand: Demand | None = None,
) -> Efficiency:
    """Shares of the peak for weights (as expert streams), the cache and activations.

    A model without a cache keeps its kv at the share of weights: nothing is multiplied by it.
    """
    demand = demand or Demand()
    weights = sampled(config, controller, expert_stream(model, config, demand)).share_of_peak
    kv = weights
    if has_cache(model):
        kv = sampled(config, controller, kv_stream(model, config, demand)).share_of_peak
    moved = sampled(config, controller, activation_stream(model, config, demand)).share_of_peak
    return Efficiency(weights=weights, kv=kv, activations=moved, evidence="simulated")


def system_efficiency(
    system: System,
    model: MoEModel,
    controller: Controller,
    *,
    map_name: str = "",
    demand: Demand | None = None,
) -> Efficiency:
    """`memory_efficiency` of the memory that every device of the system has.

    map_name: of `maps_of`, or '' for the memory's own. Raises BadInput for a device whose memory
    names no timing set, and for devices of several kinds of memory.
    """
    names = {device.name: device.memory.timing for device in system.devices}
    lacking = [name for name, timing in names.items() if timing is None]
    if lacking or len(set(names.values())) > 1:
        what = "names no timing set for its memory" if lacking else "has several kinds of memory"
        raise BadInput(f"{what}; its memory cannot be simulated", key=(lacking or [system.name])[0])
    config = dram_config(str(next(iter(names.values()))))
    if map_name:
        known = maps_of(config)
        if map_name not in known:
            raise unknown("address map", map_name, known, key="--memory-map")
        controller = msgspec.structs.replace(controller, address_map=known[map_name])
    return memory_efficiency(config, controller, model, demand)
