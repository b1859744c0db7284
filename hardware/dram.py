"""DRAM as data: standards, timing sets and the memories that are made of them.

A standard says which commands must keep which distance, in names of timings. A timing set gives the
names their cycles. A config adds how many channels there are and how addresses spread over them.
`dram_tables` makes of a config what the memory core runs on.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from ..base import Count, NonNegative, Spec
from .dram_terms import terms, value

COMMANDS = ("ACT", "PRE", "PREA", "RD", "WR", "RDA", "WRA", "REF", "REFP")
"""Activate, precharge (all), read and write (with auto-precharge), refresh of all banks or some."""
LEVELS = ("channel", "rank", "stack_id", "bank_group", "bank")
"""What a rule holds within. `rank` stands for the pseudo channel where a standard has those."""
RANK_LEVELS = ("rank", "pseudo_channel")
MOST_CYCLES = 1_000_000
MOST_BANKS = 256

Cycles = Annotated[int, msgspec.Meta(ge=0, le=MOST_CYCLES)]
Ticks = Annotated[int, msgspec.Meta(ge=1, le=2)]
Clock = Annotated[float, msgspec.Meta(ge=1e6, le=1e11)]
Commands = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=len(COMMANDS))]
NEEDED = ("tRC", "tRAS", "tRP", "tCL", "tCWL", "tRFC", "tREFI", "burst_cycles")
"""Timings that every set must give, whatever the rules ask for."""


class Rule(Spec, frozen=True, kw_only=True):
    """From any command of `before` to any of `after` at least `cycles`, within one unit of `level`.

    cycles: timing names and whole numbers joined by + and -. window: counts from that many commands
    back (4 for tFAW). others: holds between two units of the level instead of within one.
    """

    level: str
    before: Commands
    after: Commands
    cycles: str
    window: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    others: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("level", self.level, LEVELS)
        for command in (*self.before, *self.after):
            _one_of("before and after", command, COMMANDS)
        terms(self.cycles)
        if {"PREA", "REF"} & {*self.before, *self.after} and self.level not in LEVELS[:2]:
            raise ValueError(
                f"`level` must be channel or rank for PREA and REF, got {self.level!r}"
            )


class Standard(Spec, frozen=True, kw_only=True):
    """What every memory of a standard obeys, whatever its speed.

    ticks_per_cycle: 2 where row commands go on both edges of the clock. bus_cycles: clock cycles
    that a command holds its bus, 1 where not named. shared_bus: row and column commands share one
    bus. falling_edge: commands that may start between two cycles. refresh_together: what REFP
    refreshes, one 'bank' or the 'same_bank' of every group, or None where there is no REFP.
    defaults: timings that a set need not name, and what stands for them. In TOML `rule_sets` names
    shared lists of rules, to which those of the file are added.
    """

    name: str
    rank_level: str
    ticks_per_cycle: Ticks = 1
    bus_cycles: dict[str, Annotated[float, msgspec.Meta(ge=0.5, le=4)]] = msgspec.field(
        default_factory=dict
    )
    shared_bus: bool
    falling_edge: tuple[str, ...] = ()
    refresh_together: str | None = None
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(max_length=1000)]
    defaults: Annotated[dict[str, str], msgspec.Meta(max_length=100)] = msgspec.field(
        default_factory=dict
    )
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("rank_level", self.rank_level, RANK_LEVELS)
        for command in (*self.bus_cycles, *self.falling_edge):
            _one_of("bus_cycles and falling_edge", command, COMMANDS)
        for command, cycles in self.bus_cycles.items():
            if cycles * self.ticks_per_cycle % 1:
                raise ValueError(f"`bus_cycles.{command}` must be whole ticks, got {cycles}")
        if self.refresh_together is not None:
            _one_of("refresh_together", self.refresh_together, ("bank", "same_bank"))
        for expression in self.defaults.values():
            terms(expression)

    @property
    def timings(self) -> set[str]:
        """Every name that a timing set of the standard may give."""
        sums = (*self.defaults.values(), *(rule.cycles for rule in self.rules))
        named = {term for each in sums for _, term in terms(each) if isinstance(term, str)}
        return named | {*self.defaults, *NEEDED, "tREFIpb"}

    def bus_ticks(self, command: str) -> int:
        """Ticks that a command holds its bus."""
        return int(self.bus_cycles.get(command, 1) * self.ticks_per_cycle)


class Organisation(Spec, frozen=True, kw_only=True):
    """Inside one rank or pseudo channel; powers of two. columns: accesses in a row."""

    stack_ids: Count = 1
    bank_groups: Count
    banks: Count
    rows: Count
    columns: Count
    access_bytes: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.__struct_fields__:
            if (size := getattr(self, name)).bit_count() != 1 or size > 1 << 30:
                raise ValueError(f"`{name}` must be a power of two up to 2^30, got {size}")


class Energy(Spec, frozen=True, kw_only=True):
    """Joules of one command, from the cell to the host's pins; None where no source gives it."""

    activate_j: NonNegative | None = None
    read_j: NonNegative | None = None
    write_j: NonNegative | None = None
    refresh_j: NonNegative | None = None
    refresh_bank_j: NonNegative | None = None


class DramTiming(Spec, frozen=True, kw_only=True):
    """A speed grade and density of a standard: cycles by JEDEC's names of the timings.

    derived_from: the set whose nanoseconds this one keeps at another clock. Timings in `kept` are
    cycles at any clock. Names beyond JEDEC's: burst_cycles (data of one access on the bus), tRTW
    (read to write), tREF2REF (one REFP to the next, of other banks), tCS (data of one rank to those
    of another).
    """

    name: str
    standard: Standard
    clock_hz: Clock
    cycles: dict[str, Cycles]
    organisation: Organisation
    energy: Energy = Energy()
    kept: tuple[str, ...] = ()
    derived_from: str = ""
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.standard.timings
        for name in (*self.cycles, *self.kept):
            if name not in known:
                raise ValueError(
                    f"`cycles` and `kept` name {name!r}, no {self.standard.name} timing"
                )
        for name in NEEDED:
            self[name]
        if self["tRC"] < self["tRAS"] + self["tRP"]:
            raise ValueError(
                f"`cycles.tRC` must be at least tRAS + tRP = {self['tRAS'] + self['tRP']}, "
                f"got {self['tRC']}"
            )
        if not self["burst_cycles"] or self["tREFI"] <= self["tRFC"]:
            raise ValueError("`cycles` must hold burst_cycles > 0 and tREFI > tRFC")
        for rule in self.standard.rules:
            if not rule.others:
                value(rule.cycles, self.cycles, self.standard.defaults)

    def __getitem__(self, name: str) -> int:
        """Cycles of a timing: its own, or what the standard puts in its place.

        tREFIpb, where not stated, is tREFI over the REFP that refresh every bank once.
        """
        if name == "tREFIpb" and name not in self.cycles:
            return self["tREFI"] // self.refreshes_of_banks
        return value(name, self.cycles, self.standard.defaults)

    @property
    def refreshes_of_banks(self) -> int:
        """REFP that refresh every bank of a rank or pseudo channel once."""
        part = self.organisation
        groups = 1 if self.standard.refresh_together == "same_bank" else part.bank_groups
        return part.stack_ids * groups * part.banks

    @property
    def every_cycle(self) -> dict[str, int]:
        """All timings by name, with those that the standard puts in place of missing ones."""
        named = {name: self[name] for name in self.standard.defaults}
        refresh = {"tREFIpb": self["tREFIpb"]} if self.standard.refresh_together else {}
        return named | refresh | self.cycles

    def at_clock(self, clock_hz: float) -> DramTiming:
        """The same nanoseconds at another clock, rounded up to cycles; those in `kept` stay.

        tRC is at least tRAS + tRP, which rounding up may have made longer. tREFI is rounded down.
        """
        ratio = clock_hz / self.clock_hz
        if ratio == 1:
            return self
        cycles = {
            name: count if name in self.kept else math.ceil(count * ratio - 1e-9)
            for name, count in self.cycles.items()
        }
        cycles["tREFI"] = int(self.cycles["tREFI"] * ratio + 1e-9)
        cycles["tRC"] = max(cycles["tRC"], cycles["tRAS"] + cycles["tRP"])
        return msgspec.structs.replace(
            self,
            name=f"{self.name} at {clock_hz / 1e6:g} MHz",
            clock_hz=clock_hz,
            cycles=cycles,
            derived_from=self.name,
            sources=self.sources | {"cycles": f"derived: nanoseconds of {self.name}, rounded up"},
        )


class DramConfig(Spec, frozen=True, kw_only=True):
    """A memory: `channels` of a timing set, and the bits of an address that choose among them.

    ranks or pseudo_channels: of one channel. stack_ids, rows and clock_hz replace those of the set.
    address_map: fields from the lowest bit up. copies: how many such memories stand side by side in
    the device; addresses, capacity and bandwidth are those of one.
    """

    name: str
    timing: DramTiming
    channels: Count = 1
    ranks: Count = 1
    pseudo_channels: Count = 1
    stack_ids: Count | None = None
    rows: Count | None = None
    clock_hz: Clock | None = None
    address_map: str
    copies: Count = 1
    notes: str = ""
    sources: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        msgspec.structs.force_setattr(self, "timing", self._timing())
        other = {"rank": "pseudo_channels", "pseudo_channel": "ranks"}
        if getattr(self, lacks := other[self.timing.standard.rank_level]) != 1:
            raise ValueError(f"`{lacks}` does not exist in {self.timing.standard.name}")
        for name in ("channels", "ranks", "pseudo_channels"):
            if (size := getattr(self, name)).bit_count() != 1 or size > 1024:
                raise ValueError(f"`{name}` must be a power of two up to 1024, got {size}")
        if self.banks > MOST_BANKS:
            raise ValueError(f"`timing` gives {self.banks} banks a channel, most is {MOST_BANKS}")

    def _timing(self) -> DramTiming:
        """The set with what the config replaces in it."""
        timing = self.timing if self.clock_hz is None else self.timing.at_clock(self.clock_hz)
        changed = {"stack_ids": self.stack_ids, "rows": self.rows}
        changed = {name: count for name, count in changed.items() if count is not None}
        part = msgspec.structs.replace(timing.organisation, **changed)
        return msgspec.structs.replace(timing, organisation=part)

    @property
    def organisation(self) -> Organisation:
        return self.timing.organisation

    @property
    def rank_count(self) -> int:
        """Ranks or pseudo channels of a channel."""
        return self.ranks * self.pseudo_channels

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Ranks or pseudo channels, stack ids, bank groups and banks: each in one of the former."""
        part = self.organisation
        return self.rank_count, part.stack_ids, part.bank_groups, part.banks

    @property
    def banks(self) -> int:
        """Banks of a channel."""
        ranks, stack_ids, groups, banks = self.sizes
        return ranks * stack_ids * groups * banks

    @property
    def row_bytes(self) -> int:
        return self.organisation.columns * self.organisation.access_bytes

    @property
    def capacity_bytes(self) -> int:
        return self.channels * self.banks * self.organisation.rows * self.row_bytes

    @property
    def peak_bandwidth_bytes_per_s(self) -> float:
        """Every data bus of the memory busy: one access each `burst_cycles`."""
        buses = self.channels * self.pseudo_channels
        rate_hz = self.timing.clock_hz / self.timing["burst_cycles"]
        return buses * self.organisation.access_bytes * rate_hz

    @property
    def device_bandwidth_bytes_per_s(self) -> float:
        return self.copies * self.peak_bandwidth_bytes_per_s

    @property
    def device_capacity_bytes(self) -> int:
        return self.copies * self.capacity_bytes


def _one_of(key: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"`{key}` must be of {', '.join(known)}, got {name!r}")
