"""DRAM as data: timing sets and the memories that are made of them.

A standard says which commands must keep which distance, in names of timings. A timing set gives the
names their cycles. A config adds how many channels there are and how addresses spread over them.
`dram_tables` makes of a config what the memory core runs on.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from ..base import Count, NonNegative, Spec
from .dram_standard import AS_ONE_BANK, COMMANDS, HOST_COMMANDS, LEVELS, NEEDED, Rule, Standard
from .dram_terms import value

__all__ = [
    "AS_ONE_BANK",
    "COMMANDS",
    "HOST_COMMANDS",
    "LEVELS",
    "MOST_CYCLES",
    "DramConfig",
    "DramTiming",
    "Energy",
    "Organisation",
    "Rule",
    "Standard",
]

MOST_CYCLES = 1_000_000
MOST_BANKS = 128
"""Of a channel: what the memory core keeps as bits."""

Cycles = Annotated[int, msgspec.Meta(ge=0, le=MOST_CYCLES)]
Clock = Annotated[float, msgspec.Meta(ge=1e6, le=1e11)]


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
        if not self["burst_cycles"]:
            raise ValueError("`cycles.burst_cycles` must be at least 1")
        if self["tREFI"] <= self["tRFC"] + self["tRC"]:
            raise ValueError(
                f"`cycles.tREFI` must leave time for a row beside tRFC + tRC = "
                f"{self['tRFC'] + self['tRC']}, got {self['tREFI']}"
            )
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

    def at_clock(self, clock_hz: float) -> DramTiming:
        """The same nanoseconds at another clock, rounded up to cycles; those in `kept` stay.

        tRC is at least tRAS + tRP, which rounding may have made longer. tREFI is rounded down.
        """
        ratio = clock_hz / self.clock_hz
        if ratio == 1:
            return self
        cycles = {
            name: count if name in self.kept else math.ceil(count * ratio - 1e-9)
            for name, count in self.cycles.items()
        }
        for name in {"tREFI", "tREFIpb"} & cycles.keys():
            cycles[name] = int(self.cycles[name] * ratio + 1e-9)
        cycles["tRC"] = max(cycles["tRC"], cycles["tRAS"] + cycles["tRP"])
        moved = ["clock_hz", *(f"cycles.{name}" for name in cycles if name not in self.kept)]
        source = f"derived: nanoseconds of {self.name}, rounded up"
        return msgspec.structs.replace(
            self,
            name=f"{self.name} at {clock_hz / 1e6:g} MHz",
            clock_hz=clock_hz,
            cycles=cycles,
            derived_from=self.name,
            sources=self.sources | dict.fromkeys(moved, source),
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
