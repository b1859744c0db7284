"""The memory core on one core: requests per second beside two other simulators, and beside a
look at every tick.

The peers' rates are recorded: both at -O3 on two shared cores of another machine, traces of this
kind of 100,000 requests, command tracing off, CPU seconds. Ours are of this machine, in
Ramulator's policy, so that it does the very same work; requests come as arrays, not from a file.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from moesaic.hardware.load import dram_config
from moesaic.simulator.memory import POLICIES, Requests, Runs, simulate, simulate_stream

PEERS = {
    ("hbm2_2000_4Gb_1pc", "stream_read"): {"Ramulator 2.1": 200e3, "DRAMsim3": 225e3},
    ("hbm2_2000_4Gb_1pc", "rand_read"): {"Ramulator 2.1": 68e3, "DRAMsim3": 84e3},
    ("hbm3_6400_4Gb_1ch2pc", "stream_read"): {"Ramulator 2.1": 185e3, "DRAMsim3": 185e3},
    ("hbm3_6400_4Gb_1ch2pc", "rand_read"): {"Ramulator 2.1": 50e3, "DRAMsim3": 59e3},
}
"""Recorded requests per second."""
REQUESTS, RUNS = 500_000, 5
MUST = {"stream_read": 5e6, "rand_read": 2.5e6}
"""Requests per second that an HBM2 pseudo channel must reach."""


def main() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (config, pattern), peers in PEERS.items():
        asked = _asked(pattern)
        name = f"{config} {pattern}, in Ramulator's policy"
        rate = _rate(config, "ramulator", asked)
        for peer, recorded in peers.items():
            rows.append(_row(name, rate, f"{peer}, recorded elsewhere", recorded))
        few = Requests.of(asked.address[:20_000])
        rows.append(_row(name, rate, "every tick", _rate(config, "ramulator", few, True)))
        own = _rate(config, "moesaic", asked)
        if config.startswith("hbm2"):
            rows.append(_row(f"{config} {pattern}, own policy", own, "must reach", MUST[pattern]))
    return [*rows, *_layer()]


def _layer() -> list[dict[str, object]]:
    """The experts of a Mixtral decode layer that one of four devices reads: 705 MB, one stack."""
    memory, matrix_bytes = dram_config("hbm3_6400_4Gb_16ch2pc"), 4096 * 14336 * 2
    bases = np.arange(6, dtype=np.uint64) * np.uint64(128 << 20)
    tiles = Runs.of(bases, np.full(6, matrix_bytes), readers=1, tile_bytes=1 << 20).tiles()
    seconds = []
    for remember in (True, True, True, False):
        begin = time.process_time()
        simulate_stream(memory, POLICIES["moesaic"], tiles, remember=remember)
        seconds.append(time.process_time() - begin)
    best, whole = min(seconds[:3]), seconds[3]
    name = "Mixtral decode layer of a device, 705 MB, 22 M accesses"
    return [
        _row(name, best, "must be under", 1.0, unit="s", ratio=1.0 / best),
        _row(name, best, "every stretch simulated", whole, unit="s", ratio=whole / best),
    ]


def _asked(pattern: str) -> Requests:
    """Reads of 32 bytes, in order or each of another place of 512 MiB."""
    places: NDArray[np.int64] = np.arange(REQUESTS)
    if pattern == "rand_read":
        places = np.random.default_rng(0).choice(1 << 24, REQUESTS, replace=False)
    return Requests.of(32 * places)


def _rate(config: str, policy: str, asked: Requests, every_tick: bool = False) -> float:
    """Requests per CPU second, the best of some runs."""
    memory, times = dram_config(config), []
    for _ in range(1 if every_tick else RUNS):
        begin = time.process_time()
        simulate(memory, POLICIES[policy], asked, every_tick=every_tick)
        times.append(time.process_time() - begin)
    return len(asked) / min(times)


def _row(
    name: str,
    value: float,
    peer: str,
    peer_value: float,
    *,
    unit: str = "requests/s",
    ratio: float | None = None,
) -> dict[str, object]:
    """A row of the table; `ratio`, where less is better."""
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": value / peer_value if ratio is None else ratio,
    }
