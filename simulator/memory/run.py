"""The memory core: requests in; cycles, bandwidth, latencies, energy and commands out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..._core import DramPolicy, DramSpec, dram_run, dram_run_stream
from ...base import BadInput
from ...hardware.dram import COMMANDS, DramConfig
from ...hardware.dram_tables import DramTables, dram_tables
from ...hardware.gang import Gang
from .address_map import AddressMap
from .controller import Controller
from .program import Program
from .requests import Requests
from .streams import Tiles

SCHEDULERS = ("first-ready", "fr-fcfs", "fcfs")
ROW_POLICIES = ("open", "closed", "timeout")
REFRESHES = ("all-bank", "per-bank", "off")

Cycles = NDArray[np.float64]


class Commands(msgspec.Struct, frozen=True, eq=False):
    """Every command that was started, by channel and in time order there; arrays `[n]`.

    tick: of `ticks_per_cycle` in a clock cycle; command: index in `hardware.dram.COMMANDS`; bank:
    flat in its channel, the first of its rank for PREA and REF, of its gang for gang commands; row:
    of ACT, RD, WR, ACTG and RDG, else -1.
    """

    tick: NDArray[np.int64]
    channel: NDArray[np.int32]
    command: NDArray[np.int8]
    bank: NDArray[np.int32]
    row: NDArray[np.int32]


class Served(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a memory did in all; everything here is simulated.

    cycles: clock cycles until the last data, the cycle in which they come included. counts:
    commands started, by name. program: what PIM units read beside.
    """

    config: DramConfig
    controller: Controller
    cycles: float
    counts: dict[str, int]
    largest_refresh_gap_cycles: float
    program: Program | None = None

    @property
    def seconds(self) -> float:
        return self.cycles / self.config.timing.clock_hz

    @property
    def bytes(self) -> int:
        """Bytes that moved over the data bus of the host."""
        moves = sum(self.counts[name] for name in ("RD", "WR", "RDA", "WRA"))
        return moves * self.config.organisation.access_bytes

    @property
    def gang_bytes(self) -> int:
        """Bytes that the units read."""
        if self.program is None:
            return 0
        banks = self.program.gang.bank_count
        return self.counts["RDG"] * banks * self.config.organisation.access_bytes

    @property
    def bandwidth_bytes_per_s(self) -> float:
        return self.bytes / self.seconds if self.cycles else 0.0

    @property
    def share_of_peak(self) -> float:
        return self.bandwidth_bytes_per_s / self.config.peak_bandwidth_bytes_per_s

    @property
    def row_hit_rate(self) -> float:
        """1 - ACT per column command; below 0 where rows are opened twice for one request."""
        moves = self.bytes // self.config.organisation.access_bytes
        return 1 - self.counts["ACT"] / moves if moves else 0.0

    @property
    def energy_j(self) -> float | None:
        """Joules of all commands whose energy a source gives; None where reads have none.

        An ACTG is an activate of each bank of its gang.
        """
        energy, program = self.config.timing.energy, self.program
        if energy.activate_j is None or energy.read_j is None:
            return None
        gangs_j = 0.0
        if program is not None:
            if program.energy_j_per_byte is None:
                return None
            opened = self.counts["ACTG"] * program.gang.bank_count
            gangs_j = opened * energy.activate_j + self.gang_bytes * program.energy_j_per_byte
        joules = {
            "ACT": energy.activate_j, "RD": energy.read_j, "RDA": energy.read_j,
            "WR": energy.write_j, "WRA": energy.write_j,
            "REF": energy.refresh_j, "REFP": energy.refresh_bank_j,
        }  # fmt: skip
        host_j = sum((joules.get(name) or 0.0) * count for name, count in self.counts.items())
        return host_j + gangs_j


class DramRun(Served, frozen=True, eq=False, kw_only=True):
    """What a memory did with single requests.

    Per request, in cycles `[n]`: accepted_cycles by its queue, issue_cycles of its column command
    (-1: served by a queued write to its address), finish_cycles of its data. forwarded, coalesced:
    reads and writes so served.
    """

    requests: Requests
    accepted_cycles: Cycles
    issue_cycles: Cycles
    finish_cycles: Cycles
    forwarded: int
    coalesced: int
    commands: Commands | None = None

    def read_latency_cycles(self, since: str = "accepted") -> Cycles:
        """Of every read, from its acceptance by the queue, or since its `arrival` in the trace."""
        reads = ~self.requests.write
        begin = self.accepted_cycles if since == "accepted" else self.requests.arrival_cycles
        return np.asarray((self.finish_cycles - begin)[reads], np.float64)


class StreamRun(Served, frozen=True, eq=False, kw_only=True):
    """What a memory did with a stream, whose single requests are not kept.

    segments: stretches of the stream, of all channels; remembered: those that a channel met in a
    state that it had been in before, and that were looked up.
    """

    segments: int
    remembered: int


def simulate(
    config: DramConfig,
    controller: Controller,
    requests: Requests,
    *,
    program: Program | None = None,
    record: bool = False,
    threads: int = 1,
    every_tick: bool = False,
) -> DramRun:
    """The memory and its controllers, event by event, until every request is served.

    program: what PIM units read beside, to its end. record: keeps every command. threads: channels
    side by side, where each has its own door (front 'per-channel'); results are the same.
    every_tick: the plain reference, which looks at every request at every tick. Raises BadInput for
    an address, or a row of a gang, beyond the memory.
    """
    tables = _tables(config, controller, None if program is None else program.gang)
    at = AddressMap.parse(_map_of(config, controller), config).decode(requests.address)
    done = _engine(
        config,
        dram_run,
        engine_spec(tables),
        engine_policy(controller, tables.ticks_per_cycle),
        requests.arrival_cycles * tables.ticks_per_cycle,
        requests.write,
        at.channel,
        at.bank,
        at.row,
        at.column,
        channels=config.channels,
        in_order=controller.front == "in-order",
        threads=threads,
        record=record,
        ticking=every_tick,
        program=None if program is None else program.table(config),
        gang=program.gang if program is not None and controller.refresh == "per-bank" else None,
    )
    return _run_of(config, controller, requests, tables.ticks_per_cycle, done, program)


def simulate_stream(
    config: DramConfig,
    controller: Controller,
    tiles: Tiles,
    *,
    threads: int = 1,
    remember: bool = True,
) -> StreamRun:
    """The memory under a stream that always has a next request: millions of them a second.

    Every channel (or queue) has its own door, whatever `front` says. A channel's next stretch
    follows from its state and the requests to come, so one met before is looked up, to the cycle;
    `remember=False` simulates every stretch. Raises BadInput for tiles beyond the memory.
    """
    tables = _tables(config, controller)
    address_map = AddressMap.parse(_map_of(config, controller), config)
    bits = address_map.capacity_bytes.bit_length() - 1
    address_map.decode(tiles.base + tiles.size.astype(np.uint64) - np.uint64(1))
    places = address_map.decode(np.uint64(1) << np.arange(bits, dtype=np.uint64))
    done = _engine(
        config,
        dram_run_stream,
        engine_spec(tables),
        engine_policy(controller, tables.ticks_per_cycle),
        np.stack(places, axis=1),
        tables.access_bytes.bit_length() - 1,
        tiles.base,
        tiles.size,
        tiles.write,
        channels=config.channels,
        threads=threads,
        remember=remember,
    )
    return StreamRun(
        **_totals(config, controller, tables.ticks_per_cycle, done),
        segments=done["segments"],
        remembered=done["remembered"],
    )


def _map_of(config: DramConfig, controller: Controller) -> str:
    return config.address_map if controller.address_map is None else controller.address_map


def _tables(config: DramConfig, controller: Controller, gang: Gang | None = None) -> DramTables:
    tables = dram_tables(config, gang)
    if controller.refresh == "per-bank":
        standard = config.timing.standard
        if standard.refresh_together is None:
            raise BadInput(f"{standard.name} has no refresh of single banks", key="refresh")
        if tables.refresh_bank_ticks < 2:
            raise BadInput(
                f"per-bank needs a tREFIpb of at least 2 ticks; {config.timing.name} gives "
                f"{tables.refresh_bank_ticks}",
                key="refresh",
            )
    return tables


def _engine(
    config: DramConfig,
    run: Callable[..., dict[str, Any]],
    *given: Any,
    gang: Gang | None = None,
    **named: Any,
) -> Any:
    """gang: of units that read while single banks are refreshed."""
    try:
        return run(*given, **named)
    except RuntimeError as fault:  # the engine's one fault that good tables can lead to
        if gang is not None:
            raise BadInput(
                f"{fault}: a gang needs all its {gang.bank_count} banks at once, and refreshes of "
                "single banks keep one from it; take all-bank refresh or a smaller gang",
                key="gang",
            ) from None
        raise BadInput(
            f"{fault}: raise tREFI of {config.timing.name}, or shorten what it waits for",
            key="timing",
        ) from None


def engine_spec(tables: DramTables) -> DramSpec:
    """The engine's own form of a memory's tables."""
    return DramSpec(
        sizes=tables.sizes.tolist(),
        ticks_per_cycle=tables.ticks_per_cycle,
        shared_bus=tables.shared_bus,
        rising=tables.rising.tolist(),
        rules=tables.rules,
        read_ticks=tables.read_ticks,
        write_ticks=tables.write_ticks,
        refresh_ticks=tables.refresh_ticks,
        refresh_bank_ticks=tables.refresh_bank_ticks,
        refresh_together=tables.refresh_together,
        **_gang_of(tables),
    )


def _gang_of(tables: DramTables) -> dict[str, Any]:
    if (gang := tables.gang) is None:
        return {}
    return {
        "gang": gang.sizes,
        "gang_columns": tables.columns,
        "gang_broadcast": gang.broadcast,
        "gang_own_bus": gang.own_bus,
        "gang_shares_group": gang.shares_group,
    }


def engine_policy(controller: Controller, ticks_per_cycle: int) -> DramPolicy:
    """The engine's own form of a controller.

    Writes go first from the first length above `write_high` of their queue (or a full one) until
    the last one below `write_low`, as in Ramulator 2.1.
    """
    writes = controller.write_queue
    drain_from = min(writes, math.floor(controller.write_high * writes) + 1)
    return DramPolicy(
        scheduler=SCHEDULERS.index(controller.scheduler),
        row_policy=ROW_POLICIES.index(controller.row_policy),
        refresh=REFRESHES.index(controller.refresh),
        queue_per_rank=controller.queue_scope == "pseudo_channel",
        capacity=[controller.read_queue, writes],
        drain_from=drain_from,
        drain_to=min(drain_from - 1, max(0, math.ceil(controller.write_low * writes) - 1)),
        most_hits=controller.most_hits,
        timeout_ticks=controller.timeout_cycles * ticks_per_cycle,
    )


def _run_of(
    config: DramConfig,
    controller: Controller,
    requests: Requests,
    ticks: int,
    done: dict[str, Any],
    program: Program | None,
) -> DramRun:
    names = ("tick", "channel", "command", "bank", "row")
    issue = done["issue"] / ticks
    issue[done["issue"] < 0] = -1
    return DramRun(
        **_totals(config, controller, ticks, done),
        program=program,
        requests=requests,
        accepted_cycles=done["accepted"] / ticks,
        issue_cycles=issue,
        finish_cycles=(done["finish"] + 1) / ticks,
        forwarded=done["forwarded"],
        coalesced=done["coalesced"],
        commands=Commands(*(done[name] for name in names)) if "tick" in done else None,
    )


def _totals(
    config: DramConfig, controller: Controller, ticks: int, done: dict[str, Any]
) -> dict[str, Any]:
    totals = done["counts"].sum(axis=0)
    return {
        "config": config,
        "controller": controller,
        "cycles": (done["last_data"] + 1) / ticks if totals.any() else 0.0,
        "counts": {name: int(n) for name, n in zip(COMMANDS, totals, strict=True)},
        "largest_refresh_gap_cycles": done["largest_refresh_gap"] / ticks,
    }
