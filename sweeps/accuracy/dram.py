"""The memory core beside two other simulators, trace by trace, and why those two differ.

All of them simulate. In Ramulator's policy ours must do what Ramulator does; DRAMsim3 has another
policy. Which of its traits make the difference is not guessed: ours takes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal

import msgspec

from ...base import unknown
from ...hardware import DramConfig
from ...hardware.load import dram_config
from ...measured.dram_peers import DRAMSIM3, RAMULATOR, PeerRun, peer_runs, peer_trace
from ...simulator.memory import POLICIES, Controller, DramRun, Requests, read_requests, simulate
from .prediction import Tell

Who = Literal["ours", "ramulator", "dramsim3", "moesaic"]
"""Ours in Ramulator's policy, the two peers, ours in its own policy."""
NAMES: dict[Who, str] = {
    "ours": "ours, Ramulator's policy",
    "ramulator": "Ramulator 2.1",
    "dramsim3": "DRAMsim3",
    "moesaic": "ours, own policy",
}
IDLE = "rand_idle"
"""The pattern that tells the latency of an idle memory."""
LEAST_GAP = 0.01
"""Peers that lie nearer to each other need no reason; a trait is named where it closes more."""
ENTRIES_OF_A_BANK = 8
"""Of DRAMsim3, for each bank, behind its 32 entries (its parameter cmd_queue_size)."""


def _own_queues(controller: Controller, config: DramConfig) -> Controller:
    return msgspec.structs.replace(controller, queue_scope="pseudo_channel")


def _more_room(controller: Controller, config: DramConfig) -> Controller:
    shared = controller.queue_scope == "channel"
    banks = config.banks // (1 if shared else config.rank_count)
    room = controller.read_queue + ENTRIES_OF_A_BANK * banks
    return msgspec.structs.replace(controller, read_queue=room)


def _late_writes(controller: Controller, config: DramConfig) -> Controller:
    return msgspec.structs.replace(controller, write_high=1.0, write_low=0.0)


def _four_hits(controller: Controller, config: DramConfig) -> Controller:
    return msgspec.structs.replace(controller, scheduler="fr-fcfs", most_hits=4)


Fits = Callable[[DramConfig, Requests], bool]
Trait = Callable[[Controller, DramConfig], Controller]
TRAITS: dict[str, tuple[Trait, Fits]] = {
    "own queues of a pseudo channel": (_own_queues, lambda config, asked: config.rank_count > 1),
    "8 more entries a bank": (_more_room, lambda config, asked: not asked.write.all()),
    "writes wait for a full buffer": (
        _late_writes,
        lambda config, asked: bool(asked.write.any() and not asked.write.all()),
    ),
    "hits first, 4 at most": (_four_hits, lambda config, asked: True),
}
"""What DRAMsim3 does otherwise than Ramulator and ours can do too; where it can matter."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """cycles: until the last data; read_latency_cycles: mean from the queue on, 0 without reads."""

    cycles: float
    share_of_peak: float
    read_latency_cycles: float
    commands: dict[str, int]


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A trace on a memory by all who ran it; without `dramsim3` where that did not.

    why: what makes DRAMsim3 differ from Ramulator, and what of the gap it leaves; '' where they
    agree to LEAST_GAP.
    """

    config: str
    trace: str
    refresh: str
    queue: int
    runs: dict[Who, Run]
    why: str = ""

    def error(self, one: Who, other: Who) -> float | None:
        """By how much `one` takes longer than `other`, relative; None where that did not run."""
        if one not in self.runs or other not in self.runs:
            return None
        return self.runs[one].cycles / self.runs[other].cycles - 1

    @property
    def pattern(self) -> str:
        """The trace without its set."""
        return self.trace.partition("__")[2]

    @property
    def plain(self) -> bool:
        """Run as both peers were: refreshed, queues of 32."""
        return "dramsim3" in self.runs


def peer_configs(words: str = "") -> list[str]:
    """The memories that peers ran, or those named by commas, in the order of the records."""
    known = list(dict.fromkeys(run.config for run in peer_runs()))
    if words in ("", "all"):
        return known
    for name in words.split(","):
        if name not in known:
            raise unknown("memory with results of other simulators", name, known, key="--on")
    return words.split(",")


def beside_peers(
    configs: Sequence[str] | None = None,
    *,
    traces: Sequence[str] | None = None,
    why: bool = True,
    tell: Tell = lambda line: None,
) -> list[Beside]:
    """Every recorded run of these memories (and traces), ours beside it, in the records' order.

    why: also looks for the reason where the peers differ, which takes most of the time.
    """
    runs = [
        run
        for run in peer_runs()
        if (configs is None or run.config in configs) and (traces is None or run.trace in traces)
    ]
    others = {(run.config, run.trace, run.refresh): run for run in runs if run.peer == DRAMSIM3}
    asked: dict[str, Requests] = {}
    rows: list[Beside] = []
    for config in dict.fromkeys(run.config for run in runs):
        tell(f"{config}: {sum(run.config == config for run in runs)} recorded runs")
        for run in runs:
            if (run.config, run.peer) != (config, RAMULATOR):
                continue
            if run.trace not in asked:
                asked[run.trace] = read_requests(peer_trace(run.trace))
            other = others.get((config, run.trace, run.refresh)) if run.queue == 32 else None
            rows.append(_beside(run, other, dram_config(config), asked[run.trace], why))
    return rows


def controller_of(run: PeerRun, policy: str = "ramulator") -> Controller:
    """The policy with the queues and the refresh of a run by Ramulator."""
    return msgspec.convert(
        msgspec.to_builtins(POLICIES[policy])
        | {"read_queue": run.queue, "write_queue": run.queue, "refresh": run.refresh},
        Controller,
    )


def _beside(
    run: PeerRun, other: PeerRun | None, config: DramConfig, asked: Requests, why: bool
) -> Beside:
    ours = simulate(config, controller_of(run), asked)
    own = simulate(config, controller_of(run, "moesaic"), asked)
    runs: dict[Who, Run] = {"ours": _ours(ours), "ramulator": _theirs(run, config)}
    if other is not None:
        runs["dramsim3"] = _theirs(other, config)
    runs["moesaic"] = _ours(own)
    return Beside(
        config=config.name,
        trace=run.trace,
        refresh=run.refresh,
        queue=ours.controller.read_queue,
        runs=runs,
        why=_why(ours, run, other) if why and other is not None else "",
    )


def _ours(run: DramRun) -> Run:
    latencies = run.read_latency_cycles()
    return Run(
        cycles=run.cycles,
        share_of_peak=run.share_of_peak,
        read_latency_cycles=float(latencies.mean()) if latencies.size else 0.0,
        commands={name: count for name, count in run.counts.items() if count},
    )


def _theirs(run: PeerRun, config: DramConfig) -> Run:
    moved_bytes = run.sent * config.organisation.access_bytes
    seconds = run.cycles / config.timing.clock_hz
    return Run(
        cycles=run.cycles,
        share_of_peak=moved_bytes / seconds / config.peak_bandwidth_bytes_per_s,
        read_latency_cycles=run.read_latency_cycles,
        commands=run.commands,
    )


def _why(ours: DramRun, run: PeerRun, other: PeerRun) -> str:
    """The traits that bring ours from Ramulator's cycles to DRAMsim3's, no more than it takes."""
    if abs(run.cycles / other.cycles - 1) <= LEAST_GAP:
        return ""
    config, asked = ours.config, ours.requests
    if ours.counts["REF"] and abs(run.cycles - other.cycles) < config.timing["tRFC"]:
        intervals = run.cycles / config.timing["tREFI"]
        return f"less than one refresh apart, in {intervals:.1f} refresh intervals"
    fitting = [name for name, (_, fits) in TRAITS.items() if fits(config, asked)]
    gaps: dict[tuple[str, ...], float] = {(): ours.cycles / other.cycles - 1}
    for count in range(1, len(fitting) + 1):
        for named in combinations(fitting, count):
            controller = ours.controller
            for name in named:
                controller = TRAITS[name][0](controller, config)
            gaps[named] = simulate(config, controller, asked).cycles / other.cycles - 1
    best = min(gaps, key=lambda named: abs(gaps[named]) + LEAST_GAP * len(named))
    if not best:
        times = other.commands["ACT"] / run.commands["ACT"]
        return f"none of its traits that ours can take ({times:.2f} of the activates)"
    return f"{' + '.join(best)}: {gaps[best]:+.1%} left"
